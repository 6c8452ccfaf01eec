//! Names: 1 to 16 visible characters, whatever was typed.

/// Characters a name may have.
const MAX: usize = 16;

/// The name that was meant by `typed`: white space is one blank inside and nothing at the ends, invisible characters
/// are left out. `None` if that leaves nothing, or more than 16 characters.
///
/// Names are shown as text, never as markup; what is left out here could still hide a name, break the score table's
/// line, or reverse it.
pub(crate) fn clean(typed: &str) -> Option<String> {
    let seen: String = typed
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .filter(|&character| !is_invisible(character))
        .collect();
    let name = seen.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (1..=MAX).contains(&name.chars().count()).then_some(name)
}

/// Control, format and filler characters, and marks that pile up on the one before: what has no place of its own.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{300}'..='\u{36f}'         // combining marks, the grapheme joiner among them
            | '\u{483}'..='\u{489}'
            | '\u{180b}'..='\u{180f}'       // Mongolian variation selectors
            | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
            | '\u{200b}'..='\u{200f}'       // zero width, direction marks
            | '\u{2028}'..='\u{202e}'       // separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'       // joiners, isolates
            | '\u{fe00}'..='\u{fe0f}'       // variation selectors
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}'       // private use
            | '\u{e0000}'..='\u{10ffff}'    // tags, more selectors, private planes
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(typed: &str) -> String {
        clean(typed).unwrap_or_else(|| String::from("(refused)"))
    }

    #[test]
    fn a_plain_name_is_taken_as_it_is() {
        for name in ["x", "Ann Lee", "Ørjan", "陈小明", "<b>bold</b>", "0123456789abcdef"] {
            assert_eq!(cleaned(name), name);
        }
    }

    #[test]
    fn a_name_has_1_to_16_characters_however_many_bytes() {
        assert_eq!(clean(""), None);
        assert_eq!(clean("0123456789abcdefg"), None);
        assert_eq!(cleaned("🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀").len(), 64);
    }

    #[test]
    fn white_space_is_one_blank_inside_and_none_around() {
        assert_eq!(cleaned("  Ann \t\n Lee\u{a0}"), "Ann Lee");
        assert_eq!(clean(" \u{3000}\t"), None);
    }

    #[test]
    fn what_cannot_be_seen_is_left_out_and_is_no_name() {
        assert_eq!(cleaned("\u{202e}An\u{200b}n\0"), "Ann");
        assert_eq!(cleaned("a\u{301}\u{302}\u{303}b"), "ab");
        assert_eq!(clean("\u{200b}\u{feff}\u{2800}\u{3164}\u{e0041}"), None);
    }
}

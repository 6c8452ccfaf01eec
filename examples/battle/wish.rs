//! What the request for a socket asks for: `/ws` for any battle, `/ws/7` for that one; `?ticket=` to be somebody again.

use unsync_websocket::Request;

use crate::ticket::Ticket;

/// What somebody comes for; the default is a seat anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The number of the battle.
    pub(crate) battle: Option<u32>,
    /// Of a seat, which comes before the number.
    pub(crate) ticket: Option<Ticket>,
}

impl Wish {
    /// What a request asks for, if it is for a socket at all.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        Self::at(request.path(), request.query())
    }

    fn at(path: &str, query: Option<&str>) -> Option<Self> {
        let battle = match path.strip_prefix("/ws")? {
            "" => None,
            // Not "+7", which is a number for `parse`.
            number => {
                let digits =
                    number.strip_prefix('/').filter(|it| it.bytes().all(|it| it.is_ascii_digit()))?;
                Some(digits.parse().ok()?)
            }
        };
        Some(Self { battle, ticket: query.and_then(Ticket::in_query) })
    }
}

impl From<Ticket> for Wish {
    fn from(ticket: Ticket) -> Self {
        Self { ticket: Some(ticket), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_battle_or_none_and_others_are_not_for_sockets() {
        let battle = |path| Wish::at(path, None).map(|wish| wish.battle);
        assert_eq!((battle("/ws"), battle("/ws/7")), (Some(None), Some(Some(7))));
        for path in ["/", "/wss", "/ws/", "/ws/x", "/ws/+7", "/ws/7/", "/ws/4294967296"] {
            assert_eq!(battle(path), None, "{path}");
        }
    }

    #[test]
    fn a_ticket_stands_in_the_query() {
        let query = format!("ticket={}", "1f".repeat(16));
        let wish = Wish::at("/ws/7", Some(&query)).unwrap();
        assert_eq!((wish.battle, wish.ticket), (Some(7), Ticket::in_query(&query)));
        assert!(wish.ticket.is_some());
    }
}

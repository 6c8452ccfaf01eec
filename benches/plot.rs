//! Draws the tables of `codec` and `echo`, which it reads in Markdown, as SVG: ratios to the first column, by bytes of payload.

use std::fmt::Write;
use std::io;

/// By a part of the contender's name, the first that fits.
const COLOURS: [(&str, &str); 13] = [
    ("receive_data", "#ff7f0e"),
    ("local", "#ff7f0e"),
    ("(tokio)", "#e377c2"),
    ("ours", "#d62728"),
    ("fastwebsockets", "#1f77b4"),
    ("soketto", "#2ca02c"),
    ("sockudo", "#9467bd"),
    ("tungstenite", "#8c564b"),
    ("tokio-websockets", "#17becf"),
    ("wtx", "#bcbd22"),
    ("yawc", "#7f7f7f"),
    ("Node", "#393b79"),
    ("", "#000000"),
];
/// Of a panel with its margins, and of these, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 15.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 35.0;
/// Lines of the scale.
const TICKS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// A diagram of its own: rows that differ in their bytes only.
struct Panel {
    title: String,
    bytes: Vec<u64>,
    /// Contenders, with their ratios for each of `bytes`.
    lines: Vec<(String, Vec<Option<f64>>)>,
}

fn main() {
    let panels = read(io::stdin().lines().map_while(Result::ok));
    print!("{}", draw(&panels));
}

fn read(lines: impl Iterator<Item = String>) -> Vec<Panel> {
    let (mut panels, mut title, mut header) = (Vec::<Panel>::new(), String::new(), Vec::new());
    for line in lines {
        let Some(row) = line.strip_prefix("| ") else {
            // What stands above a table says what it is, if it has panels of its own.
            if !line.is_empty() && !line.starts_with("|-") {
                title = line;
                header.clear();
            }
            continue;
        };
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        let (first, rest) = cells.split_first().expect("split gives one at least");
        if header.is_empty() {
            header = cells;
            continue;
        }
        let (bytes, other) = first.split_once(", ").unwrap_or((first, ""));
        let Ok(bytes) = bytes.parse() else { continue };
        let title = match other.split_once(", ") {
            None => title.clone(),
            Some((connections, in_flight)) => format!("{connections} connections, {in_flight} in flight"),
        };
        let ratios = rest[1..].iter().map(|cell| cell.split(' ').next()?.parse().ok());
        // The last column of `codec` compares with something else.
        let named: Vec<(&String, Option<f64>)> = header[2..]
            .iter()
            .zip(ratios)
            .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
            .collect();
        // The tables in full have no ratios.
        if named.iter().any(|(name, _)| name.starts_with("CPU")) {
            continue;
        }
        let place = panels.iter().position(|panel| panel.title == title).unwrap_or_else(|| {
            let lines = named.iter().map(|(name, _)| ((*name).clone(), Vec::new())).collect();
            panels.push(Panel { title, bytes: Vec::new(), lines });
            panels.len() - 1
        });
        // Rows come in any order.
        let panel = &mut panels[place];
        let row = panel.bytes.partition_point(|other| *other < bytes);
        panel.bytes.insert(row, bytes);
        panel.lines.iter_mut().zip(named).for_each(|(line, (_, ratio))| line.1.insert(row, ratio));
    }
    panels.retain(|panel| panel.bytes.len() > 2);
    panels
}

fn draw(panels: &[Panel]) -> String {
    let names: Vec<&String> = panels.iter().flat_map(|panel| &panel.lines).map(|(name, _)| name).collect();
    let mut legend: Vec<&String> = Vec::new();
    names.into_iter().for_each(|name| {
        if !legend.contains(&name) {
            legend.push(name);
        }
    });
    let (width, rows) = (2.0 * WIDTH, panels.len().div_ceil(2) as f64);
    let height = rows * HEIGHT + 24.0 * legend.len().div_ceil(5) as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        let (x, y) = ((place % 2) as f64 * WIDTH, (place / 2) as f64 * HEIGHT);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel.draw(&mut svg);
        svg += "</g>\n";
    }
    for (place, name) in legend.iter().enumerate() {
        let (x, y) = (LEFT + (place % 5) as f64 * 175.0, rows * HEIGHT + 16.0 + (place / 5) as f64 * 24.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y}h24\" {}/><text x=\"{}\" y=\"{}\">{name}</text>",
            stroke(name),
            x + 30.0,
            y + 4.0
        );
    }
    svg + "</svg>\n"
}

fn stroke(name: &str) -> String {
    let colour = COLOURS.iter().find(|(part, _)| name.contains(part)).map_or("", |(_, colour)| colour);
    let width = if name.starts_with("ours") { 3 } else { 1 };
    format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"")
}

impl Panel {
    fn draw(&self, svg: &mut String) {
        let ratios = || self.lines.iter().flat_map(|(_, ratios)| ratios).flatten().copied().chain([1.0]);
        let below = |ratio: f64| *TICKS.iter().rfind(|tick| **tick <= ratio).unwrap_or(&TICKS[0]);
        let above = |ratio: f64| *TICKS.iter().find(|tick| **tick >= ratio).unwrap_or(&TICKS[8]);
        let (low, high) = (below(ratios().fold(1.0, f64::min)), above(ratios().fold(1.0, f64::max)));
        let step = (WIDTH - LEFT - RIGHT) / (self.bytes.len() - 1) as f64;
        let x = |place: usize| LEFT + step * place as f64;
        let y = |ratio: f64| {
            let share = (ratio.clamp(low, high) / low).ln() / (high / low).ln().max(0.1);
            HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        };
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{}</text>", self.title);
        for tick in TICKS.iter().filter(|tick| (low..=high).contains(tick)) {
            let (y, right) = (y(*tick), WIDTH - RIGHT);
            let grey = if *tick == 1.0 { "#888" } else { "#ddd" };
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{grey}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        for (place, bytes) in self.bytes.iter().enumerate() {
            let anchor = if place + 1 == self.bytes.len() { "end" } else { "middle" };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                x(place),
                HEIGHT - BOTTOM + 18.0,
                size(*bytes)
            );
        }
        for (name, ratios) in &self.lines {
            let points =
                ratios.iter().enumerate().filter_map(|(place, ratio)| Some((x(place), y((*ratio)?))));
            let path: Vec<_> = points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let _ = writeln!(svg, "<path d=\"M{}\" {}/>", path.join("L"), stroke(name));
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

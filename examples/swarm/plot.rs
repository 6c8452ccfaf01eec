//! The latency over time, as a picture.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
/// Around the curves.
const LEFT: f64 = 60.0;
const MARGIN: f64 = 30.0;

/// A curve each for p50, p99 and the worst, a point a second; milliseconds, on a logarithmic scale.
pub(crate) fn svg(seconds: &[[f64; 3]]) -> String {
    const CURVES: [(&str, &str); 3] = [("p50", "#2a7"), ("p99", "#27c"), ("worst", "#c52")];
    const LEAST: f64 = 0.1;
    let most = seconds.iter().flatten().copied().fold(1.0, f64::max);
    let top = 10_f64.powf(most.log10().ceil());
    let across =
        |second: usize| LEFT + (WIDTH - LEFT - MARGIN) * second as f64 / (seconds.len().max(2) - 1) as f64;
    let down = |value: f64| {
        let part = (value.max(LEAST) / LEAST).log10() / (top / LEAST).log10();
        HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * part
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut line = LEAST;
    while line <= top * 1.01 {
        let y = down(line);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{line} ms</text>",
            WIDTH - MARGIN,
            LEFT - 6.0,
            y + 4.0
        );
        line = if line < 0.5 { 1.0 } else { line * 10.0 };
    }
    for (curve, (name, colour)) in CURVES.iter().enumerate() {
        let points: Vec<_> = seconds
            .iter()
            .enumerate()
            .filter_map(|(second, values)| {
                Some(format!("{:.1},{:.1}", across(second), down(*values.get(curve)?)))
            })
            .collect();
        let x = LEFT + 70.0 * curve as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{x:.1}\" y=\"18\" fill=\"{colour}\">{name}</text>",
            points.join(" ")
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">seconds: {}</text>\n</svg>",
        WIDTH - MARGIN,
        HEIGHT - 8.0,
        seconds.len()
    );
    svg
}

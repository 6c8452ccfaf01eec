//! The tables, in Markdown.

use crate::{Cell, Row};

/// CPU time as a multiple of the first server's, then what else was measured.
pub fn print(titles: &[String], rows: &[(Row, Vec<Cell>)]) {
    println!(
        "CPU time of the server a message, as a multiple of `{}` in the same round: median (quartiles)\n",
        titles[0]
    );
    print!("| bytes, connections, in flight | {} |", titles[0]);
    titles[1..].iter().for_each(|title| print!(" {title} |"));
    println!("\n|---|{}", "---|".repeat(titles.len()));
    rows.iter().for_each(|(row, cells)| println!("{}", ratios(row, cells)));
    println!("\nThe same, in full\n");
    println!(
        "| bytes, connections, in flight | server | CPU us a message | messages a second | p50 us | p99 us | p99.9 us | system calls a message |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (row, cells) in rows {
        for (title, cell) in titles.iter().zip(cells) {
            print!("| {}, {}, {} | {} |", row.size, row.connections, row.in_flight, title);
            if let Some(failure) = &cell.failure {
                println!(" failed: {} ||||||", failure.trim().lines().next().unwrap_or_default());
                continue;
            }
            let (cpu, rate) = (median(cell, |round| round.0) * 1e6, median(cell, |round| round.1));
            let at = |share| cell.latency.quantile(share);
            print!(" {cpu:.2} | {rate:.0} | {:.0} | {:.0} | {:.0} |", at(0.5), at(0.99), at(0.999));
            cell.syscalls.map_or_else(|| println!(" |"), |count| println!(" {count:.2} |"));
        }
    }
}

/// A line of the first table.
pub fn ratios(row: &Row, cells: &[Cell]) -> String {
    let Row { size, connections, in_flight } = row;
    let first = &cells[0];
    let mut line = format!("| {size}, {connections}, {in_flight} | {:.2} us |", median(first, |r| r.0) * 1e6);
    for cell in &cells[1..] {
        let pairs = cell.rounds.iter().zip(&first.rounds);
        let ratios: Vec<f64> = pairs.map(|(round, first)| round.0 / first.0).collect();
        let at = |share| quantile(ratios.clone(), share);
        line += &match cell.failure {
            Some(_) => " failed |".to_owned(),
            None => format!(" {:.2} ({:.2}-{:.2}) |", at(0.5), at(0.25), at(0.75)),
        };
    }
    line
}

/// Whether the answers were compressed, and how well.
pub fn compression(titles: &[String], rows: &[(Row, Vec<Cell>)]) {
    println!("\nBytes of a compressed answer\n");
    println!("| bytes | {} |", titles.join(" | "));
    println!("|---|{}", "---|".repeat(titles.len()));
    for (row, cells) in rows.iter().filter(|(row, _)| row.in_flight == 1) {
        print!("| {} |", row.size);
        for cell in cells {
            let returned = cell.returned;
            match (cell.failure.is_some(), returned.compressed == returned.messages) {
                (true, _) => print!(" failed |"),
                (_, true) => print!(" {} |", returned.bytes / returned.compressed.max(1)),
                (_, false) => {
                    print!(" {} of {} plain |", returned.messages - returned.compressed, returned.messages)
                }
            }
        }
        println!();
    }
}

fn median(cell: &Cell, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    quantile(cell.rounds.iter().map(of).collect(), 0.5)
}

/// What this share of them does not exceed.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}

//! Owns criterion's report as a table.
//! Knows no bench.

/// A Markdown table of what criterion prints on its way: a line with a name, one with times, one with throughputs, each
/// of three figures of which the middle one is criterion's estimate.
pub(crate) fn table(printed: &str) -> String {
    let mut text = "| bench | time | throughput |\n|---|---|---|\n".to_owned();
    let (mut name, mut time) = ("", String::new());
    for line in printed.lines() {
        let (before, figures) =
            line.split_once('[').map_or((line, ""), |(before, figures)| (before, figures));
        let middle = middle_figure(figures);
        match (before.trim().rsplit_once(' ').map_or(before.trim(), |(_, last)| last), middle) {
            ("time:", Some(figure)) => {
                // A short name stands in the same line.
                let named = before.trim_end().strip_suffix("time:").unwrap_or_default().trim();
                name = if named.is_empty() { name } else { named };
                time = figure;
            }
            ("thrpt:", Some(figure)) => text.push_str(&format!("| {name} | {time} | {figure} |\n")),
            (_, None)
                if line.contains('/') && !line.starts_with(' ') && !line.starts_with("Benchmarking") =>
            {
                name = line.trim()
            }
            _ => {}
        }
    }
    text
}

/// From `1.0 ns 2.0 ns 3.0 ns]` the second; a change in percent is none.
fn middle_figure(figures: &str) -> Option<String> {
    let words: Vec<&str> = figures.strip_suffix(']')?.split_whitespace().collect();
    match words[..] {
        [_, _, number, unit, _, _] => Some(format!("{number} {unit}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Benchmarking split_frames/4 KiB: Collecting 100 samples in estimated 3.0 s (1 iterations)
split_frames/4 KiB      time:   [5.6112 µs 5.6217 µs 5.6324 µs]
                        thrpt:  [363.61 Melem/s 364.30 Melem/s 364.98 Melem/s]
                 change:
                        time:   [-1.0% +0.1% +1.2%] (p = 0.80 > 0.05)
                        No change in performance detected.
Found 2 outliers among 100 measurements (2.00%)
  1 (1.00%) high mild
Benchmarking frame ChaCha20Poly1305 Portable/open/1024 KiB: Warming up for 1.0000 s
frame ChaCha20Poly1305 Portable/open/1024 KiB
                        time:   [928.00 µs 930.68 µs 934.00 µs]
                        thrpt:  [1.0456 GiB/s 1.0493 GiB/s 1.0523 GiB/s]
";

    #[test]
    fn the_estimates_stand_in_a_line_a_bench() {
        assert_eq!(
            table(PRINTED),
            "| bench | time | throughput |\n|---|---|---|\n\
             | split_frames/4 KiB | 5.6217 µs | 364.30 Melem/s |\n\
             | frame ChaCha20Poly1305 Portable/open/1024 KiB | 930.68 µs | 1.0493 GiB/s |\n"
        );
    }
}

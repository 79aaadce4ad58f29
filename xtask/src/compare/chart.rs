//! Owns the bar charts of a comparison, as SVG.
//! Measures nothing.

use std::fmt::Write;
use std::time::Duration;

use super::contestant::{Direction, Synced, Variant};
use super::group::{Group, Plan, Row};
use super::size::size_text;

/// Bars of the ratios to `cp`, a panel a direction; dark on light, and light on dark where the reader has it so.
pub(crate) fn svg(group: &Group) -> String {
    let panel_height = TITLE_HEIGHT + group.rows.len() as u32 * BAR_STEP + AXIS_HEIGHT;
    let height = 2 * panel_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>seal and restore of {}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escaped(&subject(&group.plan))
    );
    for (index, direction) in Direction::BOTH.into_iter().enumerate() {
        panel(&mut svg, group, direction, index as u32 * panel_height);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, group: &Group, direction: Direction, top: u32) {
    let title = format!("{} of {}, shorter is faster", direction.name(), subject(&group.plan));
    text(svg, "title", MARGIN, top + TITLE_BASELINE, &title);
    let ratio = |row: &Row| row.rounds(direction).paired(group.base().rounds(direction));
    let longest = group.rows.iter().map(ratio).fold(1.0, f64::max);
    let scale = f64::from(BAR_LEN_MAX) / longest;
    let cp_len = scale.round() as u32;
    let first_bar = top + TITLE_HEIGHT;
    for (index, row) in group.rows.iter().enumerate() {
        let y = first_bar + index as u32 * BAR_STEP;
        let way = row.contestant.way(direction);
        let class = if row.contestant.is_cofferdam() { "ours" } else { "other" };
        let len = (ratio(row) * scale).round() as u32;
        text(svg, "name", BARS_LEFT - GAP, y + BAR_BASELINE, way.name);
        svg_line(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{BARS_LEFT}\" y=\"{y}\" width=\"{len}\" height=\"{BAR_HEIGHT}\"/>"
            ),
        );
        let label = value(way, ratio(row), row.rounds(direction).wall());
        text(svg, "value", BARS_LEFT + len.max(cp_len) + GAP, y + BAR_BASELINE, &label);
    }
    axis(svg, first_bar, first_bar + group.rows.len() as u32 * BAR_STEP, BARS_LEFT + cp_len);
}

/// What is measured, for titles.
fn subject(plan: &Plan) -> String {
    format!("{}, {}, {}: time beside cp", size_text(plan.size), plan.kind.text(), plan.place.name())
}

/// What stands behind a bar.
fn value(way: &Variant, ratio: f64, wall: Duration) -> String {
    let synced = match way.synced {
        Synced::Yes => ", synced",
        Synced::No => "",
    };
    format!("{ratio:.2} ({:.2} s{synced})", wall.as_secs_f64())
}

/// The line at the time of `cp`, and what the bars mean.
fn axis(svg: &mut String, top: u32, bottom: u32, x: u32) {
    svg_line(
        svg,
        format_args!("<line class=\"cp\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\"/>", top - GAP),
    );
    text(
        svg,
        "axis",
        BARS_LEFT,
        bottom + AXIS_BASELINE,
        "median time / that of cp (the line); median in seconds, synced to the disk or not",
    );
}

fn text(svg: &mut String, class: &str, x: u32, y: u32, text: &str) {
    let text = escaped(text);
    svg_line(svg, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn svg_line(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes all that is written to it");
}

// Lengths in pixels.
const WIDTH: u32 = 860;
const MARGIN: u32 = 16;
const GAP: u32 = 6;
const TITLE_HEIGHT: u32 = 44;
const TITLE_BASELINE: u32 = 26;
const BAR_HEIGHT: u32 = 16;
const BAR_STEP: u32 = 22;
const BAR_BASELINE: u32 = 13;
const AXIS_HEIGHT: u32 = 30;
const AXIS_BASELINE: u32 = 16;
/// Right of the longest name.
const BARS_LEFT: u32 = 330;
/// Leaves room for a value.
const BAR_LEN_MAX: u32 = 360;

const STYLE: &str = "\
text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold}.name{text-anchor:end}.axis{font-size:12px;fill:#59636e}\
.ground{fill:#fff}.ours{fill:#0969da}.other{fill:#8c959f}.cp{stroke:#1f2328;stroke-dasharray:3 3}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#9198a1}.ground{fill:#0d1117}.ours{fill:#4493f8}\
.other{fill:#6e7681}.cp{stroke:#e6edf3}}";

const _: () = assert!(BARS_LEFT + BAR_LEN_MAX < WIDTH);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::group::made_up;

    #[test]
    fn the_longest_bar_takes_the_width_and_the_others_their_share() {
        let svg = svg(&made_up(&[("cp", &[400]), ("cofferdam", &[200]), ("age", &[800])]));
        for bar in [
            "<rect class=\"other\" x=\"330\" y=\"44\" width=\"180\" height=\"16\"/>",
            "<rect class=\"ours\" x=\"330\" y=\"66\" width=\"90\" height=\"16\"/>",
            "<rect class=\"other\" x=\"330\" y=\"88\" width=\"360\" height=\"16\"/>",
        ] {
            assert!(svg.contains(bar), "{bar} is not in\n{svg}");
        }
        assert!(svg.contains("x1=\"510\""), "the line of cp stands where its bar ends");
    }

    #[test]
    fn a_value_stands_behind_its_bar_and_behind_the_line_of_cp() {
        let svg = svg(&made_up(&[("cp", &[400]), ("cofferdam", &[200]), ("age", &[800])]));
        for value in [
            "x=\"516\" y=\"57\">1.00 (0.40 s)</text>",
            "x=\"516\" y=\"79\">0.50 (0.20 s, synced)</text>",
            "x=\"696\" y=\"101\">2.00 (0.80 s)</text>",
        ] {
            assert!(svg.contains(value), "{value} is not in\n{svg}");
        }
    }

    #[test]
    fn both_directions_are_there_and_every_element_is_closed() {
        let svg = svg(&made_up(&[("cp", &[400]), ("age", &[900])]));
        assert!(
            svg.contains("<title>seal and restore of 1000 MiB")
                && svg.contains(">seal of 1000 MiB")
                && svg.contains(">restore of 1000 MiB")
        );
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = String::new();
        text(&mut svg, "name", 1, 2, "a < b & c");
        assert_eq!(svg, "<text class=\"name\" x=\"1\" y=\"2\">a &lt; b &amp; c</text>\n");
    }
}

//! Owns the bar charts of a comparison, as SVG.
//! Measures nothing.

use std::fmt::Write;

use super::contestant::Direction;
use super::group::{Group, Row};
use super::size::size_text;

/// Bars of the ratios to `cp`, a panel a direction; dark on light, and light on dark where the reader has it so.
pub(crate) fn svg(group: &Group) -> String {
    let panel_height = TITLE_HEIGHT + group.rows.len() as u32 * BAR_STEP + AXIS_HEIGHT;
    let height = 2 * panel_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n<rect class=\"ground\" width=\"{WIDTH}\" \
         height=\"{height}\"/>\n"
    );
    for (index, direction) in Direction::BOTH.into_iter().enumerate() {
        panel(&mut svg, group, direction, index as u32 * panel_height);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, group: &Group, direction: Direction, top: u32) {
    let plan = &group.plan;
    let title = format!(
        "{} of {}, {}, {}: time beside cp, shorter is faster",
        direction.name(),
        size_text(plan.size),
        plan.kind.text(),
        plan.place.name()
    );
    text(svg, "title", MARGIN, top + TITLE_BASELINE, &title);
    let ratio = |row: &Row| row.rounds(direction).beside(group.base().rounds(direction));
    let longest = group.rows.iter().map(ratio).fold(1.0, f64::max);
    let scale = f64::from(BAR_LEN_MAX) / longest;
    let first_bar = top + TITLE_HEIGHT;
    for (index, row) in group.rows.iter().enumerate() {
        let y = first_bar + index as u32 * BAR_STEP;
        let way = row.contestant.way(direction);
        let label = format!("{:.2} ({:.2} s)", ratio(row), row.rounds(direction).wall().as_secs_f64());
        let class = if row.contestant.is_cofferdam() { "ours" } else { "other" };
        let len = (ratio(row) * scale).round() as u32;
        text(svg, "name", BARS_LEFT - GAP, y + BAR_BASELINE, way.name);
        svg_line(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{BARS_LEFT}\" y=\"{y}\" width=\"{len}\" height=\"{BAR_HEIGHT}\"/>"
            ),
        );
        text(svg, "value", BARS_LEFT + len + GAP, y + BAR_BASELINE, &label);
    }
    axis(svg, first_bar, first_bar + group.rows.len() as u32 * BAR_STEP, BARS_LEFT + scale.round() as u32);
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
        "median time / median time of cp (the line); median in seconds",
    );
}

fn text(svg: &mut String, class: &str, x: u32, y: u32, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    svg_line(svg, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
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
const BAR_LEN_MAX: u32 = 410;

const STYLE: &str = "\
text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold}.name{text-anchor:end}.axis{font-size:12px;fill:#59636e}\
.ground{fill:#fff}.ours{fill:#0969da}.other{fill:#afb8c1}.cp{stroke:#cf222e;stroke-dasharray:3 3}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#9198a1}.ground{fill:#0d1117}.ours{fill:#4493f8}\
.other{fill:#57606a}.cp{stroke:#f85149}}";

const _: () = assert!(BARS_LEFT + BAR_LEN_MAX < WIDTH);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::group::made_up;

    #[test]
    fn the_longest_bar_takes_the_width_and_the_others_their_share() {
        let svg = svg(&made_up(&[("cp", &[400]), ("cofferdam", &[200]), ("age", &[800])]));
        for bar in [
            "<rect class=\"other\" x=\"330\" y=\"44\" width=\"205\" height=\"16\"/>",
            "<rect class=\"ours\" x=\"330\" y=\"66\" width=\"103\" height=\"16\"/>",
            "<rect class=\"other\" x=\"330\" y=\"88\" width=\"410\" height=\"16\"/>",
        ] {
            assert!(svg.contains(bar), "{bar} is not in\n{svg}");
        }
        assert!(svg.contains(">0.50 (0.20 s)</text>"));
        assert!(svg.contains("x1=\"535\""), "the line of cp stands where its bar ends");
    }

    #[test]
    fn both_directions_are_there_and_every_element_is_closed() {
        let svg = svg(&made_up(&[("cp", &[400]), ("age", &[900])]));
        assert!(svg.contains(">seal of 1000 MiB") && svg.contains(">restore of 1000 MiB"));
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

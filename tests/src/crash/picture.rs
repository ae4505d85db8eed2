//! A picture of runs: prices on top, below them what each run's stages closed, minute by minute;
//! last what the fund paid and what counterparties of deleveraging lost, from the beginning.

use std::fmt::Write as _;

use tidemark_proto::units::Atoms;

use super::figures::{known, Figures, Totals, CLOSING, PRICE_EVERY};
use super::LISTINGS;

const WIDTH: i64 = 1_000;
const LEFT: i64 = 90;
const RIGHT: i64 = 160;
const PANEL: i64 = 240;
const GAP: i64 = 70;
const TOP: i64 = 50;
/// Colours of the price lines, and of the stages: distinct also without red and green.
const LINES: [&str; 7] =
    ["#000000", "#0072b2", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#d55e00"];
const STAGES: [&str; CLOSING.len()] = ["#56b4e9", "#009e73", "#e69f00", "#d55e00"];

/// One panel's place, and the scale of its two axes.
struct Panel {
    top: i64,
    seconds: i64,
    /// Values at the bottom and at the top.
    low: i64,
    high: i64,
}

impl Panel {
    fn x(&self, second: i64) -> i64 {
        LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds.max(1)
    }

    fn y(&self, value: i64) -> i64 {
        let height = i128::from(PANEL) * i128::from(value - self.low)
            / i128::from((self.high - self.low).max(1));
        self.top + PANEL - i64::try_from(height).unwrap_or(0)
    }

    /// Frame, title, a line and a label for each so many values, and a label every five minutes.
    fn axes(
        &self,
        out: &mut String,
        title: &str,
        unit: &str,
        every: i64,
        label: impl Fn(i64) -> String,
    ) {
        let (right, bottom) = (WIDTH - RIGHT, self.top + PANEL);
        text(out, LEFT, self.top - 12, "start", title);
        let _ = writeln!(
            out,
            r##"<text transform="translate(16 {}) rotate(-90)" text-anchor="middle">{unit}</text>"##,
            self.top + PANEL / 2
        );
        let mut value = self.low;
        while value <= self.high {
            let y = self.y(value);
            let _ = writeln!(out, r##"<path d="M{LEFT} {y}H{right}" stroke="#ddd"/>"##);
            text(out, LEFT - 8, y + 4, "end", &label(value));
            value += every.max(1);
        }
        for minute in (0..=self.seconds / 60).step_by(5) {
            let x = self.x(minute * 60);
            let _ = writeln!(out, r##"<path d="M{x} {bottom}v5" stroke="#000"/>"##);
            text(out, x, bottom + 20, "middle", &minute.to_string());
        }
        text(out, (LEFT + right) / 2, bottom + 38, "middle", "minutes since 20:45 UTC");
    }
}

fn text(out: &mut String, x: i64, y: i64, anchor: &str, text: &str) {
    let _ = writeln!(out, r##"<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"##);
}

fn legend(out: &mut String, row: i64, top: i64, colour: &str, name: &str) {
    let (x, y) = (WIDTH - RIGHT + 14, top + 14 + 20 * row);
    let _ =
        writeln!(out, r##"<rect x="{x}" y="{}" width="12" height="12" fill="{colour}"/>"##, y - 10);
    text(out, x + 18, y, "start", name);
}

/// An SVG of runs of one recording, each with its name.
#[must_use]
pub fn svg(runs: &[(&str, &Figures)]) -> String {
    let panels = i64::try_from(runs.len()).unwrap_or(0) + 2;
    let height = TOP + panels * (PANEL + GAP);
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
"##
    );
    let Some((_, first)) = runs.first() else { return out + "</svg>\n" };
    let seconds = i64::try_from(first.minutes.len() * 60).unwrap_or(0);
    prices(&mut out, first, seconds);
    let minute_sum = |figures: &Figures| {
        figures.minutes.iter().map(|stages| stages.iter().copied().sum::<Atoms>()).max()
    };
    let most = runs.iter().filter_map(|(_, figures)| minute_sum(figures)).max().unwrap_or_default();
    let high = round_up(whole_usdc(most));
    for ((name, figures), at) in runs.iter().zip(1..) {
        let panel = Panel { top: TOP + at * (PANEL + GAP), seconds, low: 0, high };
        bars(&mut out, name, figures, &panel);
    }
    sums(&mut out, runs, TOP + (panels - 1) * (PANEL + GAP), seconds);
    out + "</svg>\n"
}

fn prices(out: &mut String, figures: &Figures, seconds: i64) {
    let all = || figures.index_ppm.iter().flat_map(|line| known(line));
    let (lowest, highest) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    // Whole tens of per cent around the lines.
    let ten = |ppm: u64| i64::try_from(ppm / 100_000).unwrap_or(0) * 100_000;
    let panel = Panel { top: TOP, seconds, low: ten(lowest), high: ten(highest + 99_999) };
    panel.axes(out, "Index price; none while it is stale", "% of the first", 100_000, |ppm| {
        (ppm / 10_000).to_string()
    });
    for (((line, listing), colour), row) in
        figures.index_ppm.iter().zip(LISTINGS).zip(LINES).zip(0..)
    {
        let points = line.iter().zip(0..).map(|(ppm, at)| {
            let x = panel.x(at * i64::try_from(PRICE_EVERY).unwrap_or(1));
            (*ppm > 0).then(|| (x, panel.y(i64::try_from(*ppm).unwrap_or(0))))
        });
        path(out, colour, "", points);
        legend(out, row, TOP, colour, listing.symbol);
    }
}

/// A line through points, broken where one is missing.
fn path(
    out: &mut String,
    colour: &str,
    style: &str,
    points: impl Iterator<Item = Option<(i64, i64)>>,
) {
    let mut d = String::new();
    let mut pen = 'M';
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(d, "{pen}{x} {y}");
        }
        pen = if point.is_some() { 'L' } else { 'M' };
    }
    let _ = writeln!(
        out,
        r##"<path d="{d}" fill="none" stroke="{colour}" stroke-width="1.5"{style}/>"##
    );
}

/// One of a run's sums.
type Sum = fn(&Totals) -> Atoms;

/// The cost of all runs to those who paid for others, from the beginning.
fn sums(out: &mut String, runs: &[(&str, &Figures)], top: i64, seconds: i64) {
    let kinds: [(&str, Sum); 2] = [
        ("", |totals| totals.fund_paid_atoms),
        (r##" stroke-dasharray="6 4""##, |totals| totals.haircut_atoms),
    ];
    let all = runs.iter().filter_map(|(_, figures)| figures.until_minute.last());
    let most = all.map(|last| whole_usdc(last.fund_paid_atoms.max(last.haircut_atoms))).max();
    let high = round_up(most.unwrap_or(0));
    let panel = Panel { top, seconds, low: 0, high };
    let title = "Paid by the insurance fund, and lost by those who were deleveraged (dashed), \
                 since the beginning";
    panel.axes(out, title, "thousand USDC", high / 4, |usdc| (usdc / 1_000).to_string());
    for ((run, figures), (row, colour)) in runs.iter().zip((0..).zip(LINES)) {
        for (style, of) in kinds {
            let points = figures.until_minute.iter().zip(0..).map(|(totals, minute)| {
                Some((panel.x(minute * 60 + 60), panel.y(whole_usdc(of(totals)))))
            });
            path(out, colour, style, points);
        }
        legend(out, row, top, colour, run.trim_start_matches("ADL "));
    }
}

fn bars(out: &mut String, name: &str, figures: &Figures, panel: &Panel) {
    panel.axes(
        out,
        &format!("Closed by liquidation, {name}"),
        "million USDC a minute",
        panel.high / 4,
        |usdc| format!("{}.{:02}", usdc / 1_000_000, usdc % 1_000_000 / 10_000),
    );
    for (stages, minute) in figures.minutes.iter().zip(0..) {
        let (x, end) = (panel.x(minute * 60) + 1, panel.x(minute * 60 + 60));
        let mut below = 0;
        for (atoms, colour) in stages.iter().zip(STAGES) {
            let above = below + whole_usdc(*atoms);
            let (top, bottom) = (panel.y(above), panel.y(below));
            if bottom > top {
                let (width, height) = (end - x, bottom - top);
                let _ = writeln!(
                    out,
                    r##"<rect x="{x}" y="{top}" width="{width}" height="{height}" fill="{colour}"/>"##
                );
            }
            below = above;
        }
    }
    for (((_, stage), colour), row) in CLOSING.iter().zip(STAGES).zip(0..) {
        legend(out, row, panel.top, colour, stage);
    }
}

/// An amount in USDC, cut to a whole number of them.
fn whole_usdc(atoms: Atoms) -> i64 {
    i64::try_from(atoms.get() / Atoms::USDC.get()).unwrap_or(i64::MAX)
}

/// The next of 1, 2, 4, 6, 8 or 10 times a power of ten.
fn round_up(value: i64) -> i64 {
    let mut power = 1;
    while power <= value / 10 {
        power *= 10;
    }
    let steps = [1, 2, 4, 6, 8, 10].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (value, end) in [(0, 1), (1, 1), (3, 4), (11, 20), (99, 100), (4_100_000, 6_000_000)] {
            assert_eq!(round_up(value), end, "{value}");
        }
    }

    #[test]
    fn a_panel_has_its_low_value_at_the_bottom() {
        let panel = Panel { top: 100, seconds: 60, low: 500, high: 700 };
        assert_eq!((panel.y(500), panel.y(700)), (100 + PANEL, 100));
        assert_eq!((panel.x(0), panel.x(60)), (LEFT, WIDTH - RIGHT));
    }
}

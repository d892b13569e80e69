//! A plot as SVG. It has a background of its own, so that it can be read on a light page and on a
//! dark one, and fonts are the reader's.

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    super::report::{Line, Plot},
    scale::Scale,
};

const SIZE: (u32, u32) = (840, 460);
const TITLE_HEIGHT: i32 = 42;
/// Of the legend.
const ROW: i32 = 22;
/// What stands before a name in the legend.
const SIGN: i32 = 31;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(31, 35, 40);
const PALE_INK: RGBColor = RGBColor(89, 99, 110);
const GRID: RGBColor = RGBColor(225, 228, 232);
const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Those who are in many plots look the same in all of them.
const KNOWN: [(&str, RGBColor); 4] = [
    ("direct", RGBColor(110, 119, 129)),
    ("iptables", RGBColor(213, 94, 0)),
    ("nftables", RGBColor(148, 82, 160)),
    ("sluice", RGBColor(0, 104, 178)),
];
/// For all others, in turn; told apart without red and green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 104, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 138, 102),
    RGBColor(148, 82, 160),
    RGBColor(170, 120, 0),
    RGBColor(110, 119, 129),
];
/// How much of a band's colour there is.
const BAND: f64 = 0.14;
/// With more points on a line they are not marked one by one.
const MOST_MARKS: usize = 24;
/// A letter's width, on average: only who draws the picture knows its fonts.
const LETTER: i32 = 7;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

/// Draws.
pub fn draw(plot: &Plot) -> Result<String> {
    let mut text = String::new();
    {
        let all = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        all.fill(&PAPER)?;
        let legend_end =
            places(&plot.lines).last().map_or(TITLE_HEIGHT, |(_, middle)| middle + ROW);
        let (head, body) = all.split_vertically(legend_end);
        head.draw_text(&plot.title, &font(19, INK), (20, 12))?;
        legend(&head, plot)?;
        chart(&body, plot)?;
        all.present()?;
    }
    Ok(titled(&text, &plot.title))
}

fn font(size: u32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&colour)
}

/// What readers that do not see are told.
fn titled(svg: &str, title: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    svg.replacen(">\n", &format!(" role=\"img\">\n<title>{title}</title>\n"), 1)
}

fn colour(line: &Line, number: usize) -> RGBColor {
    let known = KNOWN.iter().find(|(name, _)| *name == line.name);
    known.map_or(COLOURS[number % COLOURS.len()], |(_, colour)| *colour)
}

/// Who is who, in as many rows as it takes.
fn legend(area: &Area<'_>, plot: &Plot) -> Result<()> {
    for (number, (line, (left, middle))) in plot.lines.iter().zip(places(&plot.lines)).enumerate() {
        let colour = colour(line, number);
        let stroke = vec![(left, middle), (left + 24, middle)];
        area.draw(&PathElement::new(stroke, colour.stroke_width(3)))?;
        area.draw(&Circle::new((left + 12, middle), 4, colour.filled()))?;
        let style = font(14, INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(&line.name, &style, (left + SIGN, middle))?;
    }
    Ok(())
}

/// Where the legend has its lines.
fn places(lines: &[Line]) -> Vec<(i32, i32)> {
    let (first, last) = (22, SIZE.0 as i32 - 20);
    let (mut left, mut middle) = (first, TITLE_HEIGHT + ROW / 2);
    let mut places = Vec::new();
    for line in lines {
        let width = SIGN + LETTER * line.name.chars().count() as i32;
        if left > first && left + width > last {
            (left, middle) = (first, middle + ROW);
        }
        places.push((left, middle));
        left += width + 22;
    }
    places
}

fn chart(area: &Area<'_>, plot: &Plot) -> Result<()> {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let x = Scale::of(&plot.x, points().map(|(x, _)| *x), false).marked(points().map(|(x, _)| *x));
    let y = Scale::of(&plot.y, points().flat_map(|(_, y)| [y.median, y.low, y.high]), true);
    let mut chart = ChartBuilder::on(area)
        .margin_left(14)
        .margin_right(28)
        .margin_top(4)
        .margin_bottom(10)
        .x_label_area_size(50)
        .y_label_area_size(84)
        .build_cartesian_2d(x, y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(PALE_INK)
        .label_style(font(13, PALE_INK))
        .axis_desc_style(font(14, INK))
        .x_labels(8)
        .y_labels(7)
        .x_desc(&plot.x.label)
        .y_desc(&plot.y.label)
        .draw()?;
    for (number, line) in plot.lines.iter().enumerate() {
        band(&mut chart, line, &y, colour(line, number))?;
    }
    for (number, line) in plot.lines.iter().enumerate() {
        stroke(&mut chart, line, &y, colour(line, number))?;
    }
    Ok(())
}

/// How far the samples spread.
fn band(chart: &mut Chart<'_, '_>, line: &Line, y: &Scale, colour: RGBColor) -> Result<()> {
    let lower = line.points.iter().map(|(x, found)| (*x, y.shown(found.low)));
    let upper = line.points.iter().rev().map(|(x, found)| (*x, y.shown(found.high)));
    let outline: Vec<(f64, f64)> = lower.chain(upper).collect();
    chart.draw_series([Polygon::new(outline, colour.mix(BAND))])?;
    Ok(())
}

/// The medians, and the spread at each.
fn stroke(chart: &mut Chart<'_, '_>, line: &Line, y: &Scale, colour: RGBColor) -> Result<()> {
    let medians = line.points.iter().map(|(x, found)| (*x, y.shown(found.median)));
    chart.draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?;
    if line.points.len() > MOST_MARKS {
        return Ok(());
    }
    for (x, found) in &line.points {
        let ends = [found.low, found.high].map(|end| (*x, y.shown(end)));
        chart.draw_series([PathElement::new(ends.to_vec(), colour.stroke_width(1))])?;
        let cap = |end| {
            EmptyElement::at(end) + PathElement::new(vec![(-4, 0), (4, 0)], colour.stroke_width(1))
        };
        chart.draw_series(ends.map(cap))?;
    }
    chart.draw_series(medians.map(|point| Circle::new(point, 4, colour.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::bench::{
        report::{Axis, Line, Plot},
        samples::Summary,
    };

    fn plot(points: Vec<(f64, Summary)>) -> Plot {
        let line = |name: &str| Line { name: name.to_owned(), points: points.clone() };
        Plot {
            title: "This & that < all".to_owned(),
            x: Axis::log("services"),
            y: Axis::log("ms"),
            lines: vec![line("one"), line("other")],
        }
    }

    #[test]
    fn a_drawing_names_everything_and_marks_every_point() {
        let found = Summary::of(&[1.0, 2.0, 3.0]);
        let svg = draw(&plot(vec![(10.0, found), (100.0, found), (30_000.0, found)])).unwrap();
        for text in ["<title>This &amp; that &lt; all</title>", "one", "other", "services", "ms"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert!(svg.contains("30,000"), "a place of measurement is marked");
        let (points, in_legend) = (2 * 3, 2);
        assert_eq!(svg.matches("<circle").count(), points + in_legend);
    }

    #[test]
    fn what_an_axis_cannot_show_does_not_spoil_the_drawing() {
        let nothing = Summary::of(&[0.0]);
        for points in [vec![], vec![(10.0, nothing)], vec![(0.0, nothing), (10.0, nothing)]] {
            let svg = draw(&plot(points)).unwrap();
            assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}

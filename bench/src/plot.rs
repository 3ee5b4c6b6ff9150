//! The report as a picture.

use std::path::Path;

use plotters::{coord::types::RangedCoordf64, prelude::*};

use crate::{Report, figures::Curve, growth::Intervals, lookup::Lookup};

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const OCTROI: RGBColor = RGBColor(0x1b, 0x6e, 0xa8);
const LPM: RGBColor = RGBColor(0xc8, 0x55, 0x1c);
const OTHER: RGBColor = RGBColor(0x78, 0x78, 0x78);

/// Draws it.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    try_draw(report, path).map_err(|error| anyhow::anyhow!("draw {}: {error}", path.display()))
}

fn try_draw(report: &Report, path: &Path) -> Result {
    let area = SVGBackend::new(path, (1280, 860)).into_drawing_area();
    area.fill(&WHITE)?;
    let machine = &report.machine;
    let quick = if report.quick { ", a quick run: few packets and rounds" } else { "" };
    let title = format!(
        "octroi {} on {}, Linux {}, {}{quick}",
        report.revision, machine.cpu, machine.kernel, report.time
    );
    let area = area.titled(&title, ("sans-serif", 20))?;
    let quarters = area.split_evenly((2, 2));
    lookups(&report.lookup, &quarters[0])?;
    let intervals: Vec<&Intervals> = report.intervals().filter(|line| line.classes == 256).collect();
    let times = |line: &Intervals| (line.ns.median, line.lpm.as_ref().map(|lpm| lpm.ns.median));
    growth(
        &quarters[1],
        "ns a look-up by intervals (256 classes), and a fitted curve",
        true,
        &intervals,
        times,
    )?;
    rules(report, &quarters[2])?;
    let bytes = |line: &Intervals| (line.bytes_per_interval, None);
    growth(
        &quarters[3],
        "bytes an interval by intervals (256 classes), and a fitted curve",
        false,
        &intervals,
        bytes,
    )?;
    area.present()?;
    Ok(())
}

/// Bars on a logarithmic scale.
fn lookups(lines: &[Lookup], area: &Area<'_>) -> Result {
    let lines: Vec<&Lookup> =
        lines.iter().filter(|line| line.distribution == "uniform over intervals").collect();
    let most = lines.iter().map(|line| line.ns.median).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("ns a look-up, uniform over intervals; × octroi in the same round", ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..lines.len() as f64, (1.0..most * 4.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("ns")
        .y_label_formatter(&|ns| format!("{ns:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (n, line) in lines.iter().enumerate() {
        let (left, height) = (n as f64, line.ns.median.max(1.1));
        let color = match line.structure {
            "octroi" => OCTROI,
            "lpm" => LPM,
            _ => OTHER,
        };
        let bar = Rectangle::new([(left + 0.15, 1.0), (left + 0.85, height)], color.filled());
        let ratio =
            if line.structure == "octroi" { String::new() } else { format!(" (×{:.1})", line.ratio.median) };
        let above = Text::new(
            format!("{:.1}{ratio}", line.ns.median),
            (left + 0.15, height * 1.5),
            ("sans-serif", 13),
        );
        chart.draw_series([bar])?;
        chart.draw_series([above])?;
        let place = chart.backend_coord(&(left + 0.15, 1.0));
        let inside = area.get_base_pixel();
        let name = format!("{} {}", line.structure, line.family);
        area.draw(&Text::new(name, (place.0 - inside.0, place.1 - inside.1 + 8), ("sans-serif", 13)))?;
    }
    Ok(())
}

/// Points by number of intervals, each family's curve through them.
fn growth(
    area: &Area<'_>,
    caption: &str,
    log: bool,
    lines: &[&Intervals],
    value: impl Fn(&Intervals) -> (f64, Option<f64>),
) -> Result {
    let mut series = Vec::new();
    for (family, first) in [("ipv4", true), ("ipv6", false)] {
        let of_it = || lines.iter().filter(move |line| line.family == family);
        let n = |line: &Intervals| line.intervals as f64;
        let own: Vec<(f64, f64)> = of_it().map(|line| (n(line), value(line).0)).collect();
        let rival: Vec<(f64, f64)> = of_it().filter_map(|line| Some((n(line), value(line).1?))).collect();
        series.push((format!("octroi {family}"), OCTROI, first, own));
        series.push((format!("LPM {family}"), LPM, first, rival));
    }
    series.retain(|one| !one.3.is_empty());
    let all = || series.iter().flat_map(|one| &one.3);
    let most = all().map(|point| point.1).fold(1.0, f64::max);
    let x = (all().map(|point| point.0).fold(f64::MAX, f64::min) * 0.8
        ..all().map(|point| point.0).fold(1.0, f64::max) * 1.25)
        .log_scale();
    let mut builder = ChartBuilder::on(area);
    builder.caption(caption, ("sans-serif", 15)).margin(12).x_label_area_size(34).y_label_area_size(52);
    // Two types of chart, one way to draw.
    macro_rules! draw {
        ($y:expr, $format:expr) => {{
            let mut chart = builder.build_cartesian_2d(x, $y)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .x_desc("intervals a family")
                .x_label_formatter(&|n: &f64| amount(*n))
                .y_label_formatter(&$format)
                .draw()?;
            for (name, color, filled, points) in &series {
                let curve = if log { Curve::power(points) } else { Curve::share(points) };
                let label = format!("{name}: {curve}");
                let style = ShapeStyle { color: color.mix(1.0), filled: *filled, stroke_width: 2 };
                // Even steps on a logarithmic axis, from the first point to the last.
                let (from, to) = (points[0].0, points[points.len() - 1].0);
                let along = (0..=60).map(|step| from * (to / from).powf(f64::from(step) / 60.0));
                let fitted = along.map(|n| (n, curve.at(n)));
                chart.draw_series(LineSeries::new(fitted, color.mix(if *filled { 0.9 } else { 0.5 })))?;
                chart
                    .draw_series(points.iter().map(|&point| Circle::new(point, 4, style)))?
                    .label(label)
                    .legend(move |(x, y)| Circle::new((x + 10, y), 4, style));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .label_font(("sans-serif", 12))
                .draw()?;
        }};
    }
    if log {
        draw!((1.0..most * 30.0).log_scale(), |y: &f64| format!("{y:.0}"));
    } else {
        draw!(RangedCoordf64::from(0.0..most * 1.6), |y: &f64| format!("{y:.0}"));
    }
    Ok(())
}

/// The whole gate by number of rules.
fn rules(report: &Report, area: &Area<'_>) -> Result {
    let lines: Vec<_> = report.rules().filter(|line| line.listed == 0).collect();
    let most = lines.iter().map(|line| line.ns.max).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("ns of the whole gate by rules (drop, families mixed); × one rule", ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d((0.8..2000.0).log_scale(), 0.0..most * 1.3)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("rules")
        .y_desc("ns")
        .x_label_formatter(&|n| amount(*n))
        .y_label_formatter(&|ns| format!("{ns:.0}"))
        .draw()?;
    let points: Vec<(f64, f64)> = lines.iter().map(|line| (line.rules as f64, line.ns.median)).collect();
    chart.draw_series(LineSeries::new(points.iter().copied(), OCTROI.mix(0.6)))?;
    chart.draw_series(lines.iter().map(|line| {
        let at = line.rules as f64;
        ErrorBar::new_vertical(at, line.ns.min, line.ns.median, line.ns.max, OCTROI.filled(), 8)
    }))?;
    chart.draw_series(lines.iter().map(|line| {
        let place = (line.rules as f64 * 1.08, line.ns.median + most * 0.05);
        Text::new(format!("{:.1} (×{:.2})", line.ns.median, line.ratio.median), place, ("sans-serif", 13))
    }))?;
    Ok(())
}

/// A round number, short.
fn amount(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.0} M", n / 1e6),
        n if n >= 1e3 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

//! The report: one HTML file with everything in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coldshoe_camera::Rgb8;

use super::Error;
use super::canvas::shrink;
use super::latency::Latencies;
use super::summary::Section;

const STYLE: &str = include_str!("report.css");

/// Widest picture in the report, pixels: the files have them as they are.
const WIDTH: usize = 1024;

/// What the report shows. Pictures are PNG files.
pub(super) struct Report<'a> {
    pub(super) module: &'a str,
    pub(super) sections: &'a [Section],
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
    pub(super) contact: Vec<u8>,
    pub(super) chart: Vec<u8>,
    pub(super) latencies: Latencies,
}

/// A picture as the report carries it.
pub(super) fn picture(picture: &Rgb8) -> Result<Vec<u8>, Error> {
    let png = shrink(picture, WIDTH).to_png();
    png.map_err(|error| Error::Picture(error.to_string()))
}

impl Report<'_> {
    /// The whole page.
    pub(super) fn page(&self) -> String {
        let module = escape(self.module);
        let (jail, findings): (Vec<_>, Vec<_>) =
            self.sections.iter().partition(|s| s.title == "Jail");
        let tables = |sections: &[&Section]| sections.iter().map(|s| table(s)).collect::<String>();
        let (findings, jail) = (tables(&findings), tables(&jail));
        let before = figure(
            &self.before,
            "Before",
            "Before: what the sensor shows as it was found, exposed for quite another light, \
             through an ISP that knows no parameters.",
        );
        let after = figure(
            &self.after,
            "After",
            "After: the last frame, with the module's exposure and through its parameters.",
        );
        let chart = figure(
            &self.chart,
            "Convergence",
            "Grey lines mark where the light changes, black wedges what was done to worker or daemon.",
        );
        let contact = figure(
            &self.contact,
            "Contact strip",
            "A column for each part of the film: where the light changes, when the sensor can have \
             followed, and where the part ends.",
        );
        let latencies = self.latencies.svg();
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>coldshoe: {module} in its jail</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>{module} in its jail</h1>\n\
             <p>The camera algorithms of module <b>{module}</b> ran in a confined process of \
             their own. Each frame's statistics went to it through shared memory, and exposure, \
             gains and ISP parameters came back the same way. On the film the light rises by 3 EV, \
             falls back, and turns from lamp light, 2856 K, to daylight, 6500 K.</p>\n\
             <div class=\"pair\">\n{before}{after}</div>\n\
             <h2>What was found</h2>\n<div class=\"cards\">\n{findings}</div>\n\
             <p>Exposure is settled when it stays within 5 % of the one at which the picture is on \
             target; frames count from where the light changes, the sensor's own delay included. The white point's error \
             is the angle between the colour that the module takes for neutral and the one that is, \
             where the scene tells. The round trip runs from handing over a frame's statistics to \
             holding its parameters.</p>\n\
             <h2>Convergence</h2>\n{chart}\
             <h2>Latency</h2>\n{latencies}\
             <h2>The film</h2>\n{contact}\
             <h2>How the module was confined</h2>\n<div class=\"jail\">\n{jail}</div>\n\
             <p>This is what the kernel told the daemon of the process before the first frame, not \
             what the process said of itself. It does not report Landlock that way: that is what \
             the daemon asked for.</p>\n\
             <footer>coldshoectl {version} demo</footer>\n</body>\n</html>\n"
        )
    }
}

fn figure(png: &[u8], name: &str, caption: &str) -> String {
    let data = STANDARD.encode(png);
    let (name, caption) = (escape(name), escape(caption));
    format!(
        "<figure><img alt=\"{name}\" src=\"data:image/png;base64,{data}\">\
         <figcaption>{caption}</figcaption></figure>\n"
    )
}

fn table(section: &Section) -> String {
    let row = |(what, value): &(String, String)| {
        format!(
            "<tr><th>{}</th><td>{}</td></tr>\n",
            escape(what),
            escape(value)
        )
    };
    let rows: String = section.rows.iter().map(row).collect();
    let title = escape(section.title);
    format!("<table><caption>{title}</caption>\n{rows}</table>\n")
}

/// Text as HTML: modules name themselves.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(module: &str, value: &str) -> String {
        let sections = [Section {
            title: "Jail",
            rows: vec![("open files".into(), value.into())],
        }];
        Report {
            module,
            sections: &sections,
            before: b"first".to_vec(),
            after: b"second".to_vec(),
            contact: b"third".to_vec(),
            chart: b"fourth".to_vec(),
            latencies: Latencies::of(&[]),
        }
        .page()
    }

    #[test]
    fn everything_is_in_the_one_file() {
        let page = page("open", "0: /dev/null");
        for part in ["first", "second", "third", "fourth"] {
            let data = format!("data:image/png;base64,{}\"", STANDARD.encode(part));
            assert!(page.contains(&data), "{part}");
        }
        assert!(!page.contains("http"), "it loads something");
        assert!(!page.contains("src=\"/") && !page.contains("url("));
    }

    #[test]
    fn a_module_cannot_write_html() {
        let page = page("<script>alert('1')</script>", "\"><img src=x>");
        assert!(!page.contains("<script>"));
        assert!(!page.contains("<img src=x>"));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)"));
    }
}

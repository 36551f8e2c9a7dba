//! JUnit XML, the report that CI systems read.
//!
//! There is no standard; what is written here is the part that GitLab, GitHub's report actions
//! and Jenkins agree on: testsuites, testsuite, testcase, failure, system-out.

use std::fmt::Write;

use super::Report;

/// The report as an XML document.
#[must_use]
pub fn junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests: usize = report.boots.iter().map(|boot| boot.checks.len()).sum();
    let failures = |boot: &super::Boot| boot.checks.iter().filter(|check| !check.ok).count();
    let failed: usize = report.boots.iter().map(failures).sum();
    let _ = writeln!(
        out,
        "<testsuites name=\"ampoule\" tests=\"{tests}\" failures=\"{failed}\">"
    );
    for boot in &report.boots {
        let suite = format!("{} {}", report.image, boot.firmware);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{}\">",
            escaped(&suite),
            boot.checks.len(),
            failures(boot),
            seconds(boot.milliseconds),
        );
        for check in &boot.checks {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\"",
                escaped(&suite),
                escaped(&check.name)
            );
            if check.ok {
                out.push_str("/>\n");
            } else {
                let detail = escaped(&check.detail);
                let _ = writeln!(
                    out,
                    ">\n      <failure message=\"{detail}\">{detail}</failure>\n    </testcase>"
                );
            }
        }
        if let Some(console) = &boot.console_tail {
            let _ = writeln!(out, "    <system-out>{}</system-out>", escaped(console));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Text for an element or an attribute. Characters that XML 1.0 does not have at all (section
/// 2.2, Char) become U+FFFD: a guest's console is full of them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => {}
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Boot, Finding};
    use super::*;

    fn boot(checks: Vec<Finding>, console_tail: Option<&str>) -> Boot {
        Boot {
            firmware: "bios".to_owned(),
            accelerator: "tcg".to_owned(),
            no_kvm: None,
            ok: checks.iter().all(|check| check.ok),
            milliseconds: 1203,
            verdict: None,
            checks,
            console_log: None,
            denied: std::collections::BTreeMap::new(),
            console_tail: console_tail.map(str::to_owned),
        }
    }

    fn report(boots: Vec<Boot>) -> Report {
        Report::new("a&b.img".to_owned(), crate::digest::Digest::of(b""), boots)
    }

    #[test]
    fn the_document_is_what_readers_expect() {
        let checks = vec![
            Finding::good("ready", "told by init"),
            Finding::bad("http 80/?a=\"<b>\"=200", "the status is 500"),
        ];
        assert_eq!(
            junit(&report(vec![boot(checks, Some("\u{1b}[1m]]> & done\r\n"))])),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"ampoule\" tests=\"2\" failures=\"1\">
  <testsuite name=\"a&amp;b.img bios\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"1.203\">
    <testcase classname=\"a&amp;b.img bios\" name=\"ready\"/>
    <testcase classname=\"a&amp;b.img bios\" name=\"http 80/?a=&quot;&lt;b&gt;&quot;=200\">
      <failure message=\"the status is 500\">the status is 500</failure>
    </testcase>
    <system-out>\u{fffd}[1m]]&gt; &amp; done&#10;</system-out>
  </testsuite>
</testsuites>
"
        );
    }
}

//! x
#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;
use coldshoe_camera::{Light, scene};
use common::*;
fn main() {
    let curve = include_str!("../tuning/default.toml");
    let a = curve.find("curve = [").unwrap();
    let b = curve[a..].find("\n]").unwrap();
    let curve = &curve[a..a + b + 2];
    for p in ["/tmp/t-open-raw/nikon.toml", "/tmp/t-open-raw/openisp.toml"] {
        for (n, t) in [
            ("grey", "version = 1".to_string()),
            (
                "search d.02 p1",
                format!("version=1\n[awb]\nmethod='search'\n{curve}"),
            ),
            (
                "search t.1",
                format!("version=1\n[awb]\nmethod='search'\ntransverse=0.12\n{curve}"),
            ),
            (
                "search t.05 p2",
                format!(
                    "version=1\n[awb]\nmethod='search'\ntransverse=0.05\nbright_weight=2.0\n{curve}"
                ),
            ),
            (
                "d.1 p1 t.1",
                format!("version=1\n[awb]\nmethod='search'\ntransverse=0.1\ndelta=0.1\n{curve}"),
            ),
        ] {
            for k in [2856., 5000., 6500.] {
                let mut l = Loop::new(
                    scene::open(Some(p.as_ref())).unwrap(),
                    t.as_bytes(),
                    Light::new(k, 0.0),
                    delays(2),
                );
                let s = l.run(40);
                let x = &s[39];
                println!(
                    "{n} {k}: err {:.2} T {:.0} exp {:.3} settled {} states {} {} r {:.3} b {:.3}",
                    x.white_error,
                    x.answer.metadata.colour_temperature,
                    x.exposure_ratio,
                    settled(&s),
                    x.answer.metadata.ae_state,
                    x.answer.metadata.awb_state,
                    1.0 / x.answer.metadata.colour_gain_red,
                    1.0 / x.answer.metadata.colour_gain_blue
                );
            }
        }
    }
}

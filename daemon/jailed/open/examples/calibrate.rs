//! Prints the measured tables of a tuning file for a camera without hardware: the CT curve, the
//! colour correction matrices and the lens shading grid.
//!
//! `cargo run -p coldshoe-ipa-open --example calibrate` for the virtual camera, with a radiance
//! folder as argument for that one.

use std::path::Path;

use coldshoe_camera::{Light, scene};

const KELVIN: [u32; 15] = [
    2300, 2500, 2856, 3200, 3600, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 8000, 9000, 10_000,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1);
    let scene = scene::open(folder.as_deref().map(Path::new))?;
    println!("curve = [");
    for kelvin in KELVIN {
        let light = Light::new(kelvin.into(), 0.0);
        let [r, g, b] = scene
            .neutral(&light)
            .ok_or("the scene has no neutral surface")?;
        println!("  [{kelvin}, {:.4}, {:.4}],", r / g, b / g);
    }
    println!("]");
    if folder.is_none() {
        matrices();
        shading();
    }
    Ok(())
}

/// Least squares over the ColorChecker's published linear sRGB.
fn matrices() {
    let checker = scene::CheckerScene::new();
    println!("matrices = [");
    for kelvin in [2856, 4000, 6500] {
        let rows = checker.ccm(kelvin.into()).map(|row| {
            let row = row.map(|m| (m * 1e4).round() / 1e4);
            // Rounded rows keep their sum.
            let green = ((1.0 - row[0] - row[2]) * 1e4).round() / 1e4;
            format!("[{:.4}, {green:.4}, {:.4}]", row[0], row[2])
        });
        println!(
            "  {{ temperature = {kelvin}, matrix = [{}] }},",
            rows.join(", ")
        );
    }
    println!("]");
}

fn shading() {
    println!("[lsc.grid]\ncolumns = 17");
    for (rgb, name) in ["red", "green", "blue"].into_iter().enumerate() {
        println!("{name} = [");
        for row in 0..13 {
            let gains = (0..17).map(|column| {
                let (x, y) = (f64::from(column) / 16.0, f64::from(row) / 12.0);
                format!("{:.3}", 1.0 / scene::CheckerScene::lens(rgb, x, y))
            });
            println!("  {},", gains.collect::<Vec<_>>().join(", "));
        }
        println!("]");
    }
}

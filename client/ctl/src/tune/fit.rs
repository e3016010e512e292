//! Small systems of linear equations.

/// Solves `rows · x = values` by elimination with the largest pivots; `None` where there is no one
/// solution.
pub(super) fn solve<const N: usize>(
    mut rows: [[f64; N]; N],
    mut values: [f64; N],
) -> Option<[f64; N]> {
    for column in 0..N {
        let size = |row: &usize| rows[*row][column].abs();
        let pivot = (column..N).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        let scale = rows
            .iter()
            .map(|row| row[column].abs())
            .fold(1e-300, f64::max);
        if rows[pivot][column].abs() / scale < 1e-9 || !rows[pivot][column].is_normal() {
            return None;
        }
        rows.swap(column, pivot);
        values.swap(column, pivot);
        for row in column + 1..N {
            let factor = rows[row][column] / rows[column][column];
            let above = rows[column];
            for (value, above) in rows[row].iter_mut().zip(above).skip(column) {
                *value -= factor * above;
            }
            values[row] -= factor * values[column];
        }
    }
    let mut solution = [0.0; N];
    for row in (0..N).rev() {
        let known: f64 = (row + 1..N).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (values[row] - known) / rows[row][row];
    }
    solution
        .iter()
        .all(|value| value.is_finite())
        .then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_its_solution_and_a_degenerate_one_none() {
        let rows = [[0.0, 2.0, 1.0], [1.0, 0.0, -1.0], [4.0, 1.0, 0.0]];
        let want = [1.5, -2.0, 0.25];
        let values = rows.map(|row| row.iter().zip(want).map(|(a, b)| a * b).sum());
        for (got, want) in solve(rows, values).unwrap().iter().zip(want) {
            assert!((got - want).abs() < 1e-12);
        }
        assert_eq!(solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]), None);
        assert_eq!(solve([[0.0; 2]; 2], [1.0, 2.0]), None);
        assert_eq!(solve([[f64::NAN; 2]; 2], [1.0, 2.0]), None);
    }
}

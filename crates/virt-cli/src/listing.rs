//! A list of objects: a table to a person, records to a program.

use virt_json::Value;

use crate::cell::Cell;
use crate::grid::{Charset, Grid};

/// A column: what stands above it, and the name of its facts.
pub type Column = (&'static str, &'static str);

/// A list, filled row by row.
///
/// ```
/// use virt_cli::{Cell, Charset, Listing};
/// let mut list = Listing::new(&[("Id", "id"), ("Name", "name")]);
/// list.row([Cell::none("-"), "test".into()]);
/// assert_eq!(list.grid(Charset::Ascii).text(true), " Id   Name\n------------\n -    test\n");
/// assert_eq!(list.records().to_string(), r#"[{"id":null,"name":"test"}]"#);
/// ```
#[derive(Debug)]
pub struct Listing {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Listing {
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for every column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert!(cells.len() == self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    pub fn grid(&self, charset: Charset) -> Grid {
        let header: Vec<&str> = self.columns.iter().map(|(label, _)| *label).collect();
        let mut grid = Grid::new(charset, &header);
        for row in &self.rows {
            grid.row(row.iter().map(|cell| &cell.text));
        }
        grid
    }

    pub fn records(self) -> Value {
        let keys = self.columns;
        let record = |row: Vec<Cell>| {
            let cells = keys.iter().zip(row);
            Value::Object(cells.map(|((_, key), cell)| ((*key).to_owned(), cell.value)).collect())
        };
        Value::Array(self.rows.into_iter().map(record).collect())
    }
}

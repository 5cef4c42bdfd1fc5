//! Generates the checked-in code from the descriptions in `protocol/`.

//! Holds no code: the tests beside it drive programs of both houses against each other.

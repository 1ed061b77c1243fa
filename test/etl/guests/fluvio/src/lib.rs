//! The modules are in `examples`.

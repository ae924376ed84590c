//! Stage 4: brings data behaviour and model behaviour together and says what to do about it.

pub mod attribution;

//! The program `fedgate`, which is all in the library beside it, so that `fuzz/` can reach it too.

fn main() -> std::process::ExitCode {
    fedgate::run()
}

#[cfg(test)]
mod tests {}

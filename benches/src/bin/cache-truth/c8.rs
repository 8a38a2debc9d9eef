pub(crate) fn main() -> Result<(), crate::Failure> {
    Ok(())
}

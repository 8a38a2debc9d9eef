use super::Profile;
use crate::ProfileError;

impl Profile {
    /// A flame graph as a self-contained SVG, of the kind at `index`.
    ///
    /// # Errors
    /// When the profile holds no sample: there is nothing to draw.
    #[cfg_attr(docsrs, doc(cfg(feature = "flamegraph")))]
    pub fn to_svg(&self, index: usize, title: &str) -> Result<Vec<u8>, ProfileError> {
        let mut options = inferno::flamegraph::Options::default();
        title.clone_into(&mut options.title);
        if let Some(kind) = self.kinds.get(index) {
            kind.unit.clone_into(&mut options.count_name);
        }
        let folded = self.to_folded(index);
        let mut svg = Vec::new();
        inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut svg)
            .map_err(|source| ProfileError::Engine { engine: "flame graph", source: Box::new(source) })?;
        Ok(svg)
    }
}

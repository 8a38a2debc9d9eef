use super::Profile;
use super::folded::plain;
use crate::ProfileError;

impl Profile {
    /// A flame graph as a self-contained SVG, of the kind at `index`.
    ///
    /// # Errors
    /// When the profile holds no sample: there is nothing to draw.
    #[cfg_attr(docsrs, doc(cfg(feature = "flamegraph")))]
    pub fn to_svg(&self, index: usize, title: &str) -> Result<Vec<u8>, ProfileError> {
        let mut options = inferno::flamegraph::Options::default();
        options.title = plain(title);
        if let Some(kind) = self.kinds.get(index) {
            options.count_name = plain(&kind.unit);
        }
        draw(options, &self.to_folded(index))
    }

    /// A flame graph of this profile whose colours say what changed since `before`: red grew, blue shrank, of the kind at `index`.
    /// The earlier values are scaled to the later total, so that a longer profile is not all blue.
    ///
    /// # Errors
    /// When this profile holds no sample.
    #[cfg_attr(docsrs, doc(cfg(feature = "flamegraph")))]
    pub fn to_diff_svg(&self, before: &Self, index: usize, title: &str) -> Result<Vec<u8>, ProfileError> {
        let mut options = inferno::flamegraph::Options::default();
        options.title = plain(title);
        let compared = inferno::differential::Options { normalize: true, ..Default::default() };
        let (earlier, later) = (before.to_folded(index), self.to_folded(index));
        let mut lines = Vec::new();
        inferno::differential::from_readers(compared, earlier.as_bytes(), later.as_bytes(), &mut lines)
            .map_err(failed)?;
        draw(options, &String::from_utf8_lossy(&lines))
    }
}

fn draw(mut options: inferno::flamegraph::Options<'_>, folded: &str) -> Result<Vec<u8>, ProfileError> {
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut svg).map_err(failed)?;
    Ok(svg)
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> ProfileError {
    ProfileError::Engine { engine: "flame graph", source: Box::new(source) }
}

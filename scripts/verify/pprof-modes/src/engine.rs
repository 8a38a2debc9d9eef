//! One engine a build: frames by name, the innermost first, and how often each stack was seen.

/// A stack's functions, and its samples.
pub type Stacks = Vec<(Vec<String>, i64)>;

#[cfg(feature = "ours")]
mod chosen {
    use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu};

    use super::Stacks;

    pub struct Engine(PprofCpu);

    impl Engine {
        pub fn start(hz: u32) -> Self {
            let engine = PprofCpu::new();
            engine.start(&CpuSpec { hz, ..CpuSpec::default() }).expect("the engine starts");
            Self(engine)
        }

        pub fn stop(self) -> Stacks {
            let profile = self.0.drain().expect("the engine stops");
            eprintln!("{}", profile.comments.join("\n"));
            let stack = |stack: offgridflow_profile::Stack| {
                (stack.frames.into_iter().map(|frame| frame.function).collect(), stack.values[0])
            };
            profile.stacks.into_iter().map(stack).collect()
        }
    }
}

#[cfg(not(feature = "ours"))]
mod chosen {
    use pprof::{ProfilerGuard, ProfilerGuardBuilder};

    use super::Stacks;

    pub struct Engine(ProfilerGuard<'static>);

    impl Engine {
        pub fn start(hz: u32) -> Self {
            let mut builder = ProfilerGuardBuilder::default().frequency(hz as i32);
            if std::env::var_os("BLOCKLIST").is_some() {
                builder = builder.blocklist(&["libc", "libgcc", "pthread", "vdso"]); // as its documentation shows
            }
            Self(builder.build().expect("the engine starts"))
        }

        pub fn stop(self) -> Stacks {
            let report = self.0.report().build().expect("a report");
            let stack = |(frames, count): (&pprof::Frames, &isize)| {
                (frames.frames.iter().flatten().map(|symbol| symbol.name()).collect(), *count as i64)
            };
            report.data.iter().map(stack).collect()
        }
    }
}

pub use chosen::Engine;

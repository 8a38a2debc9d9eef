//! Kubernetes' HorizontalPodAutoscaler, in virtual time: what it would do with a load, before it does.
//!
//! The algorithm is that of Kubernetes' controller (`pkg/controller/podautoscaler` of kubernetes/kubernetes, `horizontal.go` and
//! `replica_calculator.go`), in three steps that are tested by its own cases: how many replicas the metrics of the pods
//! [want](calculate), what is left of that after [stabilisation](Stabiliser), and how far [policies](Direction) let it go now.

mod calculate;
mod chart;
mod controller;
mod load;
mod manifest;
mod pace;
mod policy;
mod prediction;
mod quantity;
mod replica;
mod simulate;
mod stabilise;

pub use calculate::{Pod, PodState, Proposal, calculate};
pub use chart::svg;
pub use controller::Controller;
pub use load::Load;
pub use manifest::{Finding, Manifests, manifests};
pub use policy::{Direction, Hpa, Limit, Policy, Resource, Select, Target, Tolerance};
pub use prediction::Prediction;
pub use replica::{Capacity, Replica, Use};
pub use simulate::{Course, Tick, pinned, simulate};
pub use stabilise::Stabiliser;

pub mod cluster;
pub mod sandbox;
pub mod telemetry;
pub mod web;


//! The sandbox of a run: its Job, what became of its Pod, and the stream to the tools inside.

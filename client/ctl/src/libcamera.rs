mod outline;
mod text;

//! The page, in a browser: each of its flows, with scripts and without, as administrator and as viewer.

mod browser;
mod entrance;
mod federation;
mod screens;
mod site;
mod tab;
mod writes;

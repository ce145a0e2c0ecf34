//! `fedgate check DOMAIN` finds each thing that is wrong with another backend by its code, and nothing where nothing is.

mod certificate;
mod dns;
mod listener;
mod real;
mod site;
mod talk;

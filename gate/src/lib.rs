//! gate
#![no_std]

#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target runs one check")]
mod checks;

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's hook ends the process at a panic, also at one that is caught.
        drop(std::panic::take_hook());
        std::panic::set_hook(Box::new(|_| {}));
    },
    |input: &[u8]| checks::window_rebuild(input)
);

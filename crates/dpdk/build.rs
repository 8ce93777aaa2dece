//! Compiles the shim and links DPDK, if the feature asks for it.

fn main() {
    println!("cargo::rerun-if-changed=src/shim.c");
    #[cfg(feature = "dpdk")]
    {
        let library =
            pkg_config::Config::new().atleast_version("22.11").probe("libdpdk").unwrap_or_else(
                |e| panic!("the feature dpdk needs DPDK 22.11 or newer (Debian: libdpdk-dev): {e}"),
            );
        let mut build = cc::Build::new();
        build.file("src/shim.c").includes(&library.include_paths).flag("-march=native");
        // Its headers set what the compiler must be told as well.
        build.flag_if_supported("-Wno-deprecated-declarations").compile("ferroswitch_dpdk");
    }
}

# shellcheck shell=bash
# Sourced by bash before it runs a script of a crate's build (config.toml beside this).
#
# librdkafka's configure deletes its temporary files by an unquoted absolute path when it ends: below ".../My Projects" that
# is the file ".../My". Its flags name the paths of zlib and zstd unquoted, too. So it is run under a name of the build
# directory that needs no quotes.
if [[ ${0##*/} == configure && -f mklove/modules/configure.base && $PWD =~ [^A-Za-z0-9/._+-] ]]; then
    unset BASH_ENV
    target=${OUT_DIR%/build/*}
    link=$(mktemp -d /tmp/tributary-build.XXXXXX)/target
    ln -s "$target" "$link" && cd "$link${PWD#"$target"}" || exit
    export CFLAGS=${CFLAGS//"$target"/$link} LDFLAGS=${LDFLAGS//"$target"/$link}
    "$BASH" ./configure "$@" || exit
    # make has these two from the environment, with the quotes that they lack; configure has noted the others.
    { printf 'CFLAGS =\nLDFLAGS =\n' && cat Makefile.config; } >Makefile.config.new && mv Makefile.config.new Makefile.config
    exit
fi

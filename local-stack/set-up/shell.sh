# shellcheck shell=bash
# What every script here begins with: the same bash and the same tools, whatever the shell outside is set to.
set -euo pipefail
unset CDPATH ENV BASH_ENV GLOBIGNORE GREP_OPTIONS GREP_COLOR GREP_COLORS POSIXLY_CORRECT LANGUAGE "${!PYTHON@}"
IFS=$' \t\n'
# Java and Python read and write file names in it; sort, awk and error messages are the same everywhere.
case $(uname -s) in
Darwin) export LC_ALL=en_US.UTF-8 ;;
*) export LC_ALL=C.UTF-8 ;;
esac

#!/bin/sh
# Makes a base image out of Debian's packages, for machines that have Docker and a Debian mirror
# but no image registry:
#   deploy/image/make-base.sh [NAME] [PACKAGES]
#   docker build --network host --build-arg PYTHON_IMAGE=NAME -f deploy/image/Dockerfile .
#
# NAME: of the image, dedup-base unless given.  PACKAGES: besides Python, separated by commas.
# DEBIAN_MIRROR names a mirror.  Needs root and debootstrap.  This machine's CA certificates and its
# pip configuration go in, so that pip finds in the container what it finds here.
set -eu

name=${1:-dedup-base}
packages=python3,python3-venv,ca-certificates${2:+,$2}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include="$packages" bookworm "$root" \
    ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
ln -s python3 "$root/usr/bin/python"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
for file in "${PIP_CONFIG_FILE:-}" "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" \
    /etc/pip.conf; do
    if [ -f "$file" ]; then
        cp "$file" "$root/etc/pip.conf"
        break
    fi
done
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
tar --create --directory "$root" . | docker import - "$name"

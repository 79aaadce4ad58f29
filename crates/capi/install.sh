#!/bin/sh
# Installs a shared library that cargo has built, with its header and its pkg-config file, where cargo-c is not at hand:
#   install.sh LIBRARY PREFIX        for example: install.sh target/release/libcofferdam_capi.so /usr/local
set -eu
library=$1
prefix=$2
here=$(dirname "$0")
part() { sed -n "s/^#define CFD_VERSION_$1 //p" "$here/include/cofferdam.h"; }
version=$(part MAJOR).$(part MINOR).$(part PATCH)
major=${version%%.*}
[ "$major" = 0 ] && major=${version%.*}
# Whoever loads it may be another user.
umask 022
mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
prefix=$(cd "$prefix" && pwd)
cp "$here/include/cofferdam.h" "$prefix/include/"
# Never into the file that a running program has mapped: it would run on with half of another one.
cp "$library" "$prefix/lib/libcofferdam.so.$version.new"
chmod 755 "$prefix/lib/libcofferdam.so.$version.new"
mv -f "$prefix/lib/libcofferdam.so.$version.new" "$prefix/lib/libcofferdam.so.$version"
ln -sf "libcofferdam.so.$version" "$prefix/lib/libcofferdam.so.$major"
ln -sf "libcofferdam.so.$major" "$prefix/lib/libcofferdam.so"
cat > "$prefix/lib/pkgconfig/cofferdam.pc" <<END
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: cofferdam
Description: Sealed snapshots: encrypted, segmented streams, restored on all cores, all or nothing
Version: $version
Libs: -L\${libdir} -lcofferdam
Cflags: -I\${includedir}
END

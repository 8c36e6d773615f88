# What both toolchains of the Lambda binary share: Debian's cross compiler, and the sysroot that tools/lambda/sysroot leaves in
# build/lambda-ARCH/sysroot. It holds static libraries only, besides glibc's.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${LAMBDA_TRIPLE}-gcc)
set(CMAKE_ASM_COMPILER ${LAMBDA_TRIPLE}-gcc)
set(CMAKE_AR ${LAMBDA_TRIPLE}-gcc-ar)
set(CMAKE_RANLIB ${LAMBDA_TRIPLE}-gcc-ranlib)
set(CMAKE_LIBRARY_ARCHITECTURE ${LAMBDA_TRIPLE})
get_filename_component(LAMBDA_SOURCES ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(CMAKE_SYSROOT ${LAMBDA_SOURCES}/build/lambda-${LAMBDA_ARCH}/sysroot)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/${LAMBDA_TRIPLE}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
# One section for each function and table, of which the linker leaves out what nothing leads to; the same bytes wherever the sources lie.
set(CMAKE_C_FLAGS_INIT "-ffunction-sections -fdata-sections -fno-pie -ffile-prefix-map=${LAMBDA_SOURCES}/=")
# -no-pie: nothing to relocate at the start (docs/decisions/0058).
# -B: a compiler for this machine's own architecture would look for libraries on this machine first.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-B${CMAKE_SYSROOT}/usr/lib/${LAMBDA_TRIPLE} -no-pie -static-libgcc -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,--hash-style=gnu")
set(SOUK_LAMBDA ON)

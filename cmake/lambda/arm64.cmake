# Toolchain of the Lambda binary for 64-bit ARM (Graviton): see target.cmake.
set(LAMBDA_ARCH arm64)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(LAMBDA_TRIPLE aarch64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/target.cmake)

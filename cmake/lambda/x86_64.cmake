# Toolchain of the Lambda binary for x86-64: see target.cmake.
set(LAMBDA_ARCH x86_64)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(LAMBDA_TRIPLE x86_64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/target.cmake)

# The compiler holds the line: every warning is an error, in every preset.
add_library(souk_warnings INTERFACE)
target_compile_options(souk_warnings INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 -Wundef
    -Wpointer-arith -Wwrite-strings -Wswitch-enum -Wno-missing-field-initializers -Werror
    -fno-strict-aliasing -fstack-protector-strong)
target_compile_definitions(souk_warnings INTERFACE _GNU_SOURCE SOUK_VERSION="${PROJECT_VERSION}")
# clang (the fuzz preset) has -Wstring-conversion in -Wconversion: it minds CHECK(!"what cannot happen").
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    target_compile_options(souk_warnings INTERFACE -Wno-string-conversion)
endif()

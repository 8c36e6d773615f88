# Fuzz targets (preset fuzz: clang, libFuzzer): tests/fuzz/FLOOR/NAME_fuzz.c defines LLVMFuzzerTestOneInput and becomes the program
# fuzz/FLOOR_NAME_fuzz, linked with that floor and the ones below it. Inputs to begin with: tests/fuzz/corpus/FLOOR_NAME/.
# `make fuzz` runs each for a while.
set(SOUK_FUZZ OFF CACHE BOOL "build the fuzz targets")
if(SOUK_FUZZ)
    foreach(floor base data net auth http contract payment shop api jobs lambda cli)
        file(GLOB targets CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/${floor}/*_fuzz.c)
        foreach(target ${targets})
            get_filename_component(name ${target} NAME_WE)
            add_executable(${floor}_${name} ${target})
            target_link_libraries(${floor}_${name} PRIVATE souk_warnings souk_${floor})
            target_link_options(${floor}_${name} PRIVATE -fsanitize=fuzzer)
            target_include_directories(${floor}_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz)
            set_target_properties(${floor}_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
        endforeach()
    endforeach()
endif()

# souk_floor(NAME FLOORS below... LIBRARIES ...)
# One static library from src/NAME/*.c. Its headers are reached as "NAME/file.h" through a folder that holds nothing
# but a link to src/NAME, so that only the floors named here can be included.
function(souk_floor name)
    cmake_parse_arguments(ARG "" "" "FLOORS;LIBRARIES" ${ARGN})
    set(door ${CMAKE_BINARY_DIR}/floors/${name})
    file(MAKE_DIRECTORY ${door})
    if(NOT EXISTS ${door}/${name})
        file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${door}/${name} SYMBOLIC)
    endif()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
    list(FILTER sources EXCLUDE REGEX "/cli/(main|bootstrap)\\.c$")
    if(NOT sources)
        add_library(souk_${name} INTERFACE)
        set(scope INTERFACE)
    else()
        add_library(souk_${name} STATIC ${sources})
        target_link_libraries(souk_${name} PRIVATE souk_warnings)
        set(scope PUBLIC)
    endif()
    target_include_directories(souk_${name} ${scope} ${door})
    target_link_libraries(souk_${name} ${scope} souk_sanitizers ${ARG_LIBRARIES})
    foreach(below ${ARG_FLOORS})
        target_link_libraries(souk_${name} ${scope} souk_${below})
    endforeach()
endfunction()

# souk_embed_migrations(FLOOR DIRECTORY): the .sql files become a table in the binary (cmake/embed.cmake).
function(souk_embed_migrations floor directory)
    file(GLOB files CONFIGURE_DEPENDS ${directory}/*.sql)
    set(table ${CMAKE_BINARY_DIR}/generated/migrations_table.c)
    add_custom_command(OUTPUT ${table}
        COMMAND ${CMAKE_COMMAND} -DDIRECTORY=${directory} -DOUTPUT=${table} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
    get_target_property(kind souk_${floor} TYPE)
    if(NOT kind STREQUAL "INTERFACE_LIBRARY")
        target_sources(souk_${floor} PRIVATE ${table})
    endif()
endfunction()

# souk_embed_seeds(FLOOR DIRECTORY): the sample shop's files become a table in the binary (cmake/embed_files.cmake).
function(souk_embed_seeds floor directory)
    file(GLOB files CONFIGURE_DEPENDS ${directory}/*.json ${directory}/*.svg)
    set(table ${CMAKE_BINARY_DIR}/generated/seeds_table.c)
    add_custom_command(OUTPUT ${table}
        COMMAND ${CMAKE_COMMAND} -DDIRECTORY=${directory} -DOUTPUT=${table} -P ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
        DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake VERBATIM)
    target_sources(souk_${floor} PRIVATE ${table})
endfunction()

# souk_executable(NAME MAIN.c): the binary, with all floors.
function(souk_executable name main)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${main})
        add_executable(${name} ${main})
        target_link_libraries(${name} PRIVATE souk_warnings souk_cli)
    endif()
endfunction()

# bootstrap: the binary of a Lambda function (make lambda). It is souk without what only a server needs, and with all libraries but
# glibc's inside (docs/lambda-package.md). Made with the presets lambda-*.
if(SOUK_LAMBDA)
    # What a shared library would have brought along by itself.
    target_link_libraries(PkgConfig::SSL INTERFACE PkgConfig::OPENSSL)
    target_link_libraries(PkgConfig::CJOSE INTERFACE PkgConfig::JANSSON PkgConfig::OPENSSL)
    target_link_libraries(PkgConfig::PQ INTERFACE pgcommon pgport PkgConfig::SSL)
    target_link_libraries(PkgConfig::CURL INTERFACE nghttp2 idn2 ${UNISTRING} brotlidec brotlicommon PkgConfig::SSL PkgConfig::ZLIB)
    target_link_libraries(PkgConfig::BROTLI INTERFACE brotlicommon)
    target_link_libraries(PkgConfig::SQLITE INTERFACE m)

    souk_executable(bootstrap src/cli/bootstrap.c)
    target_link_options(bootstrap PRIVATE -Wl,-Map,$<TARGET_FILE:bootstrap>.map)
    add_library(souk_absent STATIC ${CMAKE_CURRENT_LIST_DIR}/absent.c)
    target_link_libraries(souk_absent PRIVATE souk_warnings)
    target_link_libraries(PkgConfig::PQ INTERFACE souk_absent)
    target_link_libraries(PkgConfig::CURL INTERFACE souk_absent)
endif()

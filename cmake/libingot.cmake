# libingot: every layer in one library that exports ingot_* and hides the rest.
# libingot.a is one relocatable object whose other symbols are local; its user adds LLVM, libtcc, libm and threads.
# libingot.so hides LLVM's and libtcc's symbols too.  Debian's libtcc.a is not position-independent, so the shared library
# needs a libtcc.so, or a build without libtcc.
if(NOT INGOT_SANITIZE)
  set(archives "")
  foreach(layer ${layers} runtime_embed)
    if(TARGET ${layer})
      list(APPEND archives $<TARGET_FILE:${layer}>)
    endif()
  endforeach()
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/libingot.a
    COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o libingot.o -Wl,--whole-archive ${archives} -Wl,--no-whole-archive
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden --wildcard --keep-global-symbol=ingot_* libingot.o
    COMMAND ${CMAKE_COMMAND} -E rm -f libingot.a
    COMMAND ${CMAKE_AR} rcsD libingot.a libingot.o
    DEPENDS ${layers} ${archives} WORKING_DIRECTORY ${PROJECT_BINARY_DIR} VERBATIM)
  add_custom_target(libingot_static ALL DEPENDS ${PROJECT_BINARY_DIR}/libingot.a)
  install(FILES ${PROJECT_BINARY_DIR}/libingot.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(NOT INGOT_WITH_TCC OR NOT TCC_LIBRARY MATCHES "\\.a$")
    add_library(libingot SHARED include/ingot.h)
    set_target_properties(libingot PROPERTIES OUTPUT_NAME ingot LINKER_LANGUAGE C SOVERSION ${PROJECT_VERSION_MAJOR})
    target_link_libraries(libingot PRIVATE -Wl,--whole-archive driver -Wl,--no-whole-archive ${layers} external
      -Wl,--version-script=${PROJECT_SOURCE_DIR}/driver/libingot.map)
    install(TARGETS libingot)
  endif()
endif()

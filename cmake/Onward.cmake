# Flags and the two functions the folders use: onward_library(NAME DEPS ...) and onward_test(NAME ...).

add_library(onward_flags INTERFACE)
target_include_directories(onward_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(onward_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wimplicit-fallthrough
  -Werror=format-security
  $<$<BOOL:${ONWARD_WERROR}>:-Werror>)
target_compile_definitions(onward_flags INTERFACE _GLIBCXX_ASSERTIONS
  $<$<BOOL:${ONWARD_FAILPOINTS}>:ONWARD_FAILPOINTS>)

# Flags that every object of the program must share, Asio's included.
add_library(onward_codegen INTERFACE)
target_link_libraries(onward_flags INTERFACE onward_codegen)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_link_options(onward_codegen INTERFACE -fuse-ld=lld)
endif()
# In fuzz builds every library reports its branches to libFuzzer; without that it would search blindly.
if(ONWARD_FUZZ)
  target_compile_options(onward_codegen INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ONWARD_SANITIZE)
  target_compile_options(onward_codegen INTERFACE -fsanitize=${ONWARD_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(onward_codegen INTERFACE -fsanitize=${ONWARD_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # Hardening: see docs/security.md.
  target_compile_options(onward_codegen INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
    -ftrivial-auto-var-init=zero)
  target_link_options(onward_codegen INTERFACE -pie
    -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
endif()

# One static library per folder; sources are found by name, so that a new file needs no line here.
function(onward_library name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${name}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${arg_DEPS} PRIVATE onward_flags)
    target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PUBLIC onward_codegen)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${arg_DEPS} onward_codegen)
  endif()
endfunction()

// The only main().
#include "app/commands.hpp"

int main(int argc, char** argv) {
  return app::run_command_line(argc, argv);
}

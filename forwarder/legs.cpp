#include "forwarder/legs.hpp"

namespace forwarder {

RcptParameters passed_on(ErrorDetail errors, const mail::Notify& notify, const std::string& orcpt_type,
                         const std::string& orcpt) {
  RcptParameters parameters;
  if (errors == ErrorDetail::full) {
    parameters.notify = notify;
    parameters.orcpt_type = orcpt_type;
    parameters.orcpt = orcpt;
  } else if (notify.never) {
    parameters.notify.given = parameters.notify.never = true;
  }
  return parameters;
}

}  // namespace forwarder

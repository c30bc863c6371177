// A PKCS #11 module in front of another one, FAULT_MODULE, that fails in the way
// FAULT says:
//
//   crash     C_Sign ends the process by a signal
//   hang      C_Sign does not return
//   lost      the first C_Sign of the process finds the token removed
//   sessions  C_OpenSession finds all sessions in use
//   readonly  the token is write-protected and gives read-only sessions alone
//   tries     the token locks after three wrong PINs, counted in FAULT_TRIES
//   nologin   the first C_Login is refused with CKR_FUNCTION_CANCELED
//
// Each C_Login adds a byte to the file FAULT_LOGINS.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pkcs11go.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST list;

static int is(const char *fault) {
  const char *want = getenv("FAULT");
  return want != NULL && strcmp(want, fault) == 0;
}

static int size(const char *variable) {
  FILE *f = getenv(variable) ? fopen(getenv(variable), "r") : NULL;
  long n;
  if (f == NULL) return 0;
  fseek(f, 0, SEEK_END);
  n = ftell(f);
  fclose(f);
  return (int)n;
}

static void add(const char *variable) {
  FILE *f = getenv(variable) ? fopen(getenv(variable), "a") : NULL;
  if (f == NULL) return;
  fputc('x', f);
  fclose(f);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR signature, CK_ULONG_PTR length) {
  static int removed;
  if (is("crash")) raise(SIGSEGV);
  if (is("hang")) for (;;) sleep(60);
  if (is("lost") && !removed) {
    CK_SESSION_INFO info;
    removed = 1;
    real->C_GetSessionInfo(session, &info);
    real->C_CloseAllSessions(info.slotID);
    return CKR_DEVICE_REMOVED;
  }
  return real->C_Sign(session, data, size, signature, length);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session) {
  if (is("sessions")) return CKR_SESSION_COUNT;
  if (is("readonly") && (flags & CKF_RW_SESSION)) return CKR_TOKEN_WRITE_PROTECTED;
  return real->C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  static int canceled;
  CK_RV result;
  add("FAULT_LOGINS");
  if (is("nologin") && !canceled++) return CKR_FUNCTION_CANCELED;
  if (is("tries") && size("FAULT_TRIES") >= 3) return CKR_PIN_LOCKED;
  result = real->C_Login(session, user, pin, length);
  if (result == CKR_PIN_INCORRECT) add("FAULT_TRIES");
  return result;
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV result = real->C_GetTokenInfo(slot, info);
  if (result != CKR_OK) return result;
  if (is("readonly")) info->flags |= CKF_WRITE_PROTECTED;
  if (is("tries")) {
    int tries = size("FAULT_TRIES");
    if (tries >= 1) info->flags |= CKF_USER_PIN_COUNT_LOW;
    if (tries == 2) info->flags |= CKF_USER_PIN_FINAL_TRY;
    if (tries >= 3) info->flags |= CKF_USER_PIN_LOCKED;
  }
  return result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  void *module = dlopen(getenv("FAULT_MODULE"), RTLD_NOW);
  CK_C_GetFunctionList get = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
  if (get == NULL || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list = *real;
  list.C_Sign = sign;
  list.C_OpenSession = open_session;
  list.C_Login = login;
  list.C_GetTokenInfo = token_info;
  *result = &list;
  return CKR_OK;
}

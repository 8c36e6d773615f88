/* What Debian's libcurl and libpq can do and souk never asks of them: Kerberos, LDAP, SSH, RTMP, zstd and the list of public
 * suffixes. Debian has those libraries only as shared ones, with thirty more behind them, so the Lambda binary is linked with this in
 * their place. net/ allows libcurl the protocols http, https, smtp and smtps only, asks for no coding of a body and keeps no cookies.
 *
 * What a peer or a default can still lead to answers as the library does where it cannot help: Kerberos "unavailable" (libpq asks for
 * credentials before each connect; a server may offer it), libcurl's start and its line of versions. All else is an error of ours: the
 * process says which function and ends. */
#include <stdio.h>
#include <stdlib.h>

/* RFC 2744: a routine error stands in bits 16 to 23 of the major status. */
#define GSS_S_UNAVAILABLE (16u << 16)

#define UNAVAILABLE(name)                                                                                                                            \
    unsigned name(void);                                                                                                                             \
    unsigned name(void)                                                                                                                              \
    {                                                                                                                                                \
        return GSS_S_UNAVAILABLE;                                                                                                                    \
    }
#define ABSENT(name)                                                                                                                                 \
    _Noreturn void name(void);                                                                                                                       \
    _Noreturn void name(void)                                                                                                                        \
    {                                                                                                                                                \
        absent(#name);                                                                                                                               \
    }

static _Noreturn void absent(const char *name)
{
    fprintf(stderr, "souk: %s was called, which is not in this binary\n", name);
    abort();
}

/* Kerberos, of libpq and libcurl (RFC 2744). */
extern void *GSS_C_NT_HOSTBASED_SERVICE;
void *GSS_C_NT_HOSTBASED_SERVICE;
UNAVAILABLE(gss_acquire_cred)
UNAVAILABLE(gss_delete_sec_context)
UNAVAILABLE(gss_display_name)
UNAVAILABLE(gss_display_status)
UNAVAILABLE(gss_import_name)
UNAVAILABLE(gss_init_sec_context)
UNAVAILABLE(gss_inquire_context)
UNAVAILABLE(gss_release_buffer)
UNAVAILABLE(gss_release_cred)
UNAVAILABLE(gss_release_name)
UNAVAILABLE(gss_unwrap)
UNAVAILABLE(gss_wrap)
UNAVAILABLE(gss_wrap_size_limit)

/* LDAP, of libcurl and of libpq's service files. */
ABSENT(ber_bvfree)
ABSENT(ber_free)
ABSENT(ber_memfree)
ABSENT(ber_memvfree)
ABSENT(ber_sockbuf_add_io)
ABSENT(ldap_abandon_ext)
ABSENT(ldap_count_entries)
ABSENT(ldap_err2string)
ABSENT(ldap_first_entry)
ABSENT(ldap_free_urldesc)
ABSENT(ldap_get_attribute_ber)
ABSENT(ldap_get_dn_ber)
ABSENT(ldap_get_option)
ABSENT(ldap_get_values_len)
ABSENT(ldap_init)
ABSENT(ldap_init_fd)
ABSENT(ldap_memfree)
ABSENT(ldap_msgfree)
ABSENT(ldap_msgtype)
ABSENT(ldap_parse_result)
ABSENT(ldap_parse_sasl_bind_result)
ABSENT(ldap_pvt_url_scheme2proto)
ABSENT(ldap_result)
ABSENT(ldap_sasl_bind)
ABSENT(ldap_search_ext)
ABSENT(ldap_search_st)
ABSENT(ldap_set_option)
ABSENT(ldap_simple_bind)
ABSENT(ldap_start_tls)
ABSENT(ldap_unbind)
ABSENT(ldap_unbind_ext)
ABSENT(ldap_url_parse)
ABSENT(ldap_value_free_len)

/* SSH, of libcurl. It is begun with libcurl, whatever it is used for. */
void libssh2_exit(void);
void libssh2_exit(void)
{
}
int libssh2_init(int flags);
int libssh2_init(int flags)
{
    (void)flags;
    return 0;
}
const char *libssh2_version(int required);
const char *libssh2_version(int required)
{
    (void)required;
    return "absent";
}
ABSENT(libssh2_agent_connect)
ABSENT(libssh2_agent_disconnect)
ABSENT(libssh2_agent_free)
ABSENT(libssh2_agent_get_identity)
ABSENT(libssh2_agent_init)
ABSENT(libssh2_agent_list_identities)
ABSENT(libssh2_agent_userauth)
ABSENT(libssh2_channel_free)
ABSENT(libssh2_channel_read_ex)
ABSENT(libssh2_channel_send_eof)
ABSENT(libssh2_channel_wait_closed)
ABSENT(libssh2_channel_wait_eof)
ABSENT(libssh2_channel_write_ex)
ABSENT(libssh2_hostkey_hash)
ABSENT(libssh2_knownhost_add)
ABSENT(libssh2_knownhost_checkp)
ABSENT(libssh2_knownhost_del)
ABSENT(libssh2_knownhost_free)
ABSENT(libssh2_knownhost_get)
ABSENT(libssh2_knownhost_init)
ABSENT(libssh2_knownhost_readfile)
ABSENT(libssh2_knownhost_writefile)
ABSENT(libssh2_scp_recv2)
ABSENT(libssh2_scp_send64)
ABSENT(libssh2_session_abstract)
ABSENT(libssh2_session_block_directions)
ABSENT(libssh2_session_callback_set)
ABSENT(libssh2_session_disconnect_ex)
ABSENT(libssh2_session_flag)
ABSENT(libssh2_session_free)
ABSENT(libssh2_session_handshake)
ABSENT(libssh2_session_hostkey)
ABSENT(libssh2_session_init_ex)
ABSENT(libssh2_session_last_errno)
ABSENT(libssh2_session_last_error)
ABSENT(libssh2_session_method_pref)
ABSENT(libssh2_session_set_blocking)
ABSENT(libssh2_sftp_close_handle)
ABSENT(libssh2_sftp_init)
ABSENT(libssh2_sftp_last_error)
ABSENT(libssh2_sftp_mkdir_ex)
ABSENT(libssh2_sftp_open_ex)
ABSENT(libssh2_sftp_read)
ABSENT(libssh2_sftp_readdir_ex)
ABSENT(libssh2_sftp_rename_ex)
ABSENT(libssh2_sftp_rmdir_ex)
ABSENT(libssh2_sftp_seek64)
ABSENT(libssh2_sftp_shutdown)
ABSENT(libssh2_sftp_stat_ex)
ABSENT(libssh2_sftp_statvfs)
ABSENT(libssh2_sftp_symlink_ex)
ABSENT(libssh2_sftp_unlink_ex)
ABSENT(libssh2_sftp_write)
ABSENT(libssh2_userauth_authenticated)
ABSENT(libssh2_userauth_keyboard_interactive_ex)
ABSENT(libssh2_userauth_list)
ABSENT(libssh2_userauth_password_ex)
ABSENT(libssh2_userauth_publickey_fromfile_ex)

/* RTMP, of libcurl. */
ABSENT(RTMP_Alloc)
ABSENT(RTMP_Close)
ABSENT(RTMP_Connect1)
ABSENT(RTMP_ConnectStream)
ABSENT(RTMP_Free)
ABSENT(RTMP_Init)
ABSENT(RTMP_Read)
ABSENT(RTMP_SetBufferMS)
ABSENT(RTMP_SetupURL)
ABSENT(RTMP_Write)

/* zstd, of libcurl. */
unsigned ZSTD_versionNumber(void);
unsigned ZSTD_versionNumber(void)
{
    return 0;
}
ABSENT(ZSTD_createDStream)
ABSENT(ZSTD_decompressStream)
ABSENT(ZSTD_freeDStream)
ABSENT(ZSTD_isError)

/* Public suffixes, of libcurl's cookies. */
const char *psl_get_version(void);
const char *psl_get_version(void)
{
    return "absent";
}
ABSENT(psl_builtin)
ABSENT(psl_free)
ABSENT(psl_is_cookie_domain_acceptable)
ABSENT(psl_latest)

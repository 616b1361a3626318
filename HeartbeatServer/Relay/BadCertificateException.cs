using System.Diagnostics.CodeAnalysis;
using System.Security.Authentication;

namespace HeartbeatServer.Relay;

/// <summary>The application has shown a certificate that is not accepted.</summary>
/// <param name="fault">What is wrong with it, worded to stand behind "the application's certificate is no good".</param>
/// <param name="failure">What SslStream has thrown.</param>
[SuppressMessage("Design", "CA1032", Justification = "Without a fault it would say nothing.")]
[SuppressMessage("Design", "CA1064", Justification = "Nothing here is public.")]
internal sealed class BadCertificateException(string fault, Exception failure) : AuthenticationException(fault, failure);

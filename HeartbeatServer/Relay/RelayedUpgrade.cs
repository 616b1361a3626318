using System.Runtime.Versioning;

namespace HeartbeatServer.Relay;

/// <summary>What a handshake has brought: the client has its 101, and frames may pass.</summary>
/// <param name="Leg">The leg to the application.</param>
/// <param name="HasDeflate">Whether the two sides have agreed to permessage-deflate.</param>
/// <param name="Early">The bytes that came before the frames could pass; null if none came.</param>
[SupportedOSPlatform("linux")]
internal sealed record RelayedUpgrade(UpstreamLeg Leg, bool HasDeflate, EarlyBytes? Early);

/// <summary>Bytes that came before the frames could pass.</summary>
/// <param name="FromClient">Came behind the request.</param>
/// <param name="FromApplication">Came behind the answer.</param>
internal sealed record EarlyBytes(byte[] FromClient, byte[] FromApplication);
